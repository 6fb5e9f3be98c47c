# What the scripts share: messages, Debian packages, the openstack client. To be sourced, not run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$ROOT/target}
# Commands of this project neither ask questions nor wait for a terminal.
export DEBIAN_FRONTEND=noninteractive

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
  BOLD='' DIM='' GREEN='' RED='' PLAIN=''
fi

die() { printf '%s%s%s\n' "$RED" "$*" "$PLAIN" >&2; exit 1; }

# retry N COMMAND...: for what crosses a network.
retry() {
  local left=$1; shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 2
  done
}

quiet_apt() {
  local log; log=$(mktemp)
  if apt-get -qq -o DPkg::Lock::Timeout=300 -o APT::Sandbox::User=root "$@" >"$log" 2>&1; then
    rm -f "$log"
  else
    cat "$log" >&2; rm -f "$log"; return 1
  fi
}

# need_packages NAME...: installs those Debian packages that are missing.
need_packages() {
  local name missing=()
  for name in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "as root: apt-get install ${missing[*]}"
  printf '%sinstalling %s%s\n' "$DIM" "${missing[*]}" "$PLAIN"
  retry 3 quiet_apt update || die "apt-get update failed"
  retry 3 quiet_apt install -y --no-install-recommends "${missing[@]}" || die "apt-get install failed"
}

# What building and running take on a machine with Rust and nothing else.
need_base() {
  command -v cargo >/dev/null || PATH=$HOME/.cargo/bin:$PATH
  command -v cargo >/dev/null || die "cargo is missing: install Rust 1.95 (https://rustup.rs)"
  command -v cc >/dev/null || need_packages gcc libc6-dev
  need_packages ca-certificates curl qemu-utils libnbd-bin python3-libnbd fuse3 e2fsprogs python3-venv
}

# need_venv NAME FILE...: a virtual environment below the target folder with what the files pin; made anew
# when one of them has changed.
need_venv() {
  local venv=$CARGO_TARGET_DIR/tools/$1 file files=()
  shift
  cat "$@" | cmp -s - "$venv/installed.txt" && return 0
  printf '%sinstalling %s%s\n' "$DIM" "${venv##*/}" "$PLAIN"
  rm -rf "$venv"
  /usr/bin/python3 -m venv "$venv"
  for file in "$@"; do files+=(-r "$file"); done
  retry 3 "$venv/bin/pip" install -q --disable-pip-version-check "${files[@]}" || die "pip install failed"
  cat "$@" >"$venv/installed.txt"
}

# need_openstack: the pinned openstack client, unless there is one already; OPENSTACK is its path.
need_openstack() {
  [ ! -x "${OPENSTACK:-}" ] || return 0
  export OPENSTACK=$CARGO_TARGET_DIR/tools/openstack/bin/openstack
  need_venv openstack "$ROOT/tests/requirements.txt"
}

# need_clients: the same with cinderclient and Tempest beside it; CLIENTS is where they are.
need_clients() {
  export CLIENTS=$CARGO_TARGET_DIR/tools/clients
  need_venv clients "$ROOT/tests/requirements.txt" "$ROOT/tests/clients/requirements.txt"
}

# need_schemathesis: what asks the daemon by its OpenAPI document; SCHEMATHESIS is its path.
need_schemathesis() {
  export SCHEMATHESIS=$CARGO_TARGET_DIR/tools/schemathesis/bin/schemathesis
  need_venv schemathesis "$ROOT/tests/schemathesis/requirements.txt"
}

# duration SECONDS: as a reader says it.
duration() {
  if [ "$1" -lt 60 ]; then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}
