//! The table of settings: name, meaning, default and effect of each, in one place.
//!
//! The file's keys, the environment's names, the documentation and the defaults all follow from this
//! table, so that none of them can be forgotten.

use std::sync::Arc;

use api::policy::Rules;
use store::Fingerprints;

use super::env::PREFIX;
use super::value::{self, Parsed};
use super::{Config, DedupDomain, IdentityMode, ImageMode, LogFormat};

/// One setting.
pub(super) struct Key {
    /// Its name in the file, with its table: `nbd.listen`.
    pub(super) name: &'static str,
    /// What holds when nobody says anything; empty for "unset".
    pub(super) default: &'static str,
    /// For people, one line each.
    pub(super) doc: &'static str,
    /// Puts a text into the configuration.
    pub(super) set: fn(&mut Config, &str) -> Parsed<()>,
}

impl Key {
    /// Its name in the environment: `CINDERBLOCK_NBD_LISTEN`.
    pub(super) fn env(&self) -> String {
        let name = self.name.replace('.', "_").to_uppercase();
        format!("{PREFIX}{name}")
    }
}

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

fn put<T>(slot: &mut T, value: Parsed<T>) -> Parsed<()> {
    *slot = value?;
    Ok(())
}

const MEMORY_MIN: u64 = 64 << 20;
const SCRUB_RATE_MIN: u64 = 1 << 20;

/// All settings; those without a table come first, as TOML wants it.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "data",
        default: "",
        doc: "The directory that holds everything. Required.",
        set: |c, text| put(&mut c.data, value::path(text)),
    },
    Key {
        name: "public_url",
        default: "",
        doc: "URL under which clients reach the API; it fills the service catalogue and all links.\n\
              Default: the address of http.listen. Required when that is a wildcard (0.0.0.0, ::).",
        set: |c, text| put(&mut c.public_url, value::public_url(text).map(Some)),
    },
    Key {
        name: "allow_plaintext",
        default: "false",
        doc: "Let connections from and to other machines go without encryption.",
        set: |c, text| put(&mut c.allow_plaintext, value::switch(text)),
    },
    Key {
        name: "region",
        default: "RegionOne",
        doc: "Region of the endpoints in the service catalogue.",
        set: |c, text| put(&mut c.region, value::word(text)),
    },
    Key {
        name: "dedup_domain",
        default: "project",
        doc: "Where equal data is looked for: within a \"project\", or in the whole \"pool\".\n\
              \"pool\" saves more, and lets a project find out what others store.",
        set: |c, text| {
            let choices = [
                ("project", DedupDomain::Project),
                ("pool", DedupDomain::Pool),
            ];
            put(&mut c.dedup_domain, value::choice(text, &choices))
        },
    },
    Key {
        name: "fingerprints",
        default: "sampled",
        doc: "Which fingerprints are kept in memory to find equal data by: \"sampled\" (one in 32 leads\n\
              to its neighbours), or \"full\" (each: 2 to 4GiB a TiB, for which an eighth of\n\
              `memory` is there).",
        set: |c, text| {
            let choices = [
                ("sampled", Fingerprints::Sampled),
                ("full", Fingerprints::Full),
            ];
            put(&mut c.fingerprints, value::choice(text, &choices))
        },
    },
    Key {
        name: "memory",
        default: "1GiB",
        doc: "Memory for all caches together, 64MiB at least.",
        set: |c, text| {
            c.memory_bytes = value::size(text)?;
            match c.memory_bytes {
                MEMORY_MIN.. => Ok(()),
                _ => Err("the least is 64MiB".to_owned()),
            }
        },
    },
    Key {
        name: "raw_tier",
        default: "",
        doc: "What the journal may hold unpacked before writers wait. Default: from the disk's size.",
        set: |c, text| put(&mut c.raw_tier_bytes, value::size(text).map(Some)),
    },
    Key {
        name: "recompress",
        default: "true",
        doc: "Compress data again that nobody has read for a while: about a quarter less space. \
              Until then, what was written in small pieces is stored as it is.",
        set: |c, text| put(&mut c.recompress, value::switch(text)),
    },
    Key {
        name: "recompress_after_s",
        default: "600",
        doc: "Seconds without a read, up to a year, after which that is done.",
        set: |c, text| {
            put(
                &mut c.recompress_after,
                value::seconds(text, 0, 366 * 86400),
            )
        },
    },
    Key {
        name: "recompress_cpu_percent",
        default: "20",
        doc: "Per cent of one processor that it may take.",
        set: |c, text| {
            c.recompress_cpu_percent = u8::try_from(value::count(text, 1, 100)?).unwrap_or(100);
            Ok(())
        },
    },
    Key {
        name: "master_key",
        default: "",
        doc: "File with the master key of encrypted volumes, made when the first is. Better not on the\n\
              disk of the data, and kept elsewhere too: without it they are lost.\n\
              Default: DATA/master.key.",
        set: |c, text| put(&mut c.master_key, value::path(text)),
    },
    Key {
        name: "token_lifetime_s",
        default: "3600",
        doc: "Seconds for which an Identity token is valid.",
        set: |c, text| put(&mut c.token_lifetime, value::seconds(text, 60, 7 * 86400)),
    },
    Key {
        name: "policy_file",
        default: "",
        doc: "Who may do what in Block Storage: a file in the form of the real service's policy.yaml.\n\
              Default: the real service's own rules.",
        set: |c, text| {
            let rules = value::path(text)
                .and_then(|path| Rules::load(&path).map_err(|error| error.to_string()));
            put(&mut c.policy, rules.map(Arc::new))
        },
    },
    Key {
        name: "mount",
        default: "",
        doc: "Show the snapshots of all volumes as files in this folder (`cinderblock mount`).",
        set: |c, text| put(&mut c.mount, value::path(text).map(Some)),
    },
    Key {
        name: "http.listen",
        default: "127.0.0.1:8700",
        doc: "Address of the API. Port 0 picks a free one; run.json tells which.",
        set: |c, text| put(&mut c.http.listen, value::listen(text)),
    },
    Key {
        name: "http.classic_ports",
        default: "false",
        doc: "Also answer on the ports 5000 (Identity), 8776 (Block Storage) and 9292 (Image).",
        set: |c, text| put(&mut c.http.classic_ports, value::switch(text)),
    },
    Key {
        name: "http.max_connections",
        default: "512",
        doc: "Connections at a time, on all HTTP listeners together.",
        set: |c, text| {
            put(
                &mut c.http.max_connections,
                value::count(text, 1, 65536).map(|n| n as usize),
            )
        },
    },
    Key {
        name: "http.tls_cert",
        default: "",
        doc: "PEM file with the certificate, and those between it and its CA: the API is https then.\n\
              Read again on SIGHUP; `cinderblock cert` makes one.",
        set: |c, text| put(&mut c.http.tls.cert, value::path(text).map(Some)),
    },
    Key {
        name: "http.tls_key",
        default: "",
        doc: "PEM file with its key, readable by its owner only.",
        set: |c, text| put(&mut c.http.tls.key, value::path(text).map(Some)),
    },
    Key {
        name: "http.tls_ca",
        default: "",
        doc: "PEM file with the CA that DATA/clouds.yaml tells clients to trust. Default: the system's.",
        set: |c, text| put(&mut c.http.tls.ca, value::path(text).map(Some)),
    },
    Key {
        name: "nbd.listen",
        default: "127.0.0.1:10809",
        doc: "Address for hosts to attach volumes at. Port 0 picks a free one.",
        set: |c, text| put(&mut c.nbd.listen, value::listen(text)),
    },
    Key {
        name: "nbd.advertise",
        default: "",
        doc: "HOST or HOST:PORT that attachments tell hosts to connect to. Default: nbd.listen.\n\
              Required when that is a wildcard.",
        set: |c, text| put(&mut c.nbd.advertise, value::advertise(text).map(Some)),
    },
    Key {
        name: "nbd.socket",
        default: "",
        doc: "Unix socket for this machine's root and the daemon's own user. Default: DATA/nbd.sock.",
        set: |c, text| put(&mut c.nbd.socket, value::path(text)),
    },
    Key {
        name: "nbd.max_connections",
        default: "1024",
        doc: "NBD connections at a time, on all listeners together.",
        set: |c, text| {
            put(
                &mut c.nbd.max_connections,
                value::count(text, 1, 65536).map(|n| n as usize),
            )
        },
    },
    Key {
        name: "backup.directory",
        default: "",
        doc: "Directory that backups go to, best on another disk. Default: DATA/backups.",
        set: |c, text| put(&mut c.backup.directory, value::path(text).map(Some)),
    },
    Key {
        name: "backup.bucket",
        default: "",
        doc: "Bucket of an S3-compatible service that backups go to instead.",
        set: |c, text| put(&mut c.backup.bucket, value::word(text).map(Some)),
    },
    Key {
        name: "backup.endpoint",
        default: "",
        doc: "URL of that service. Default: Amazon's.",
        set: |c, text| put(&mut c.backup.endpoint, value::public_url(text).map(Some)),
    },
    Key {
        name: "backup.region",
        default: "us-east-1",
        doc: "Region of the bucket.",
        set: |c, text| put(&mut c.backup.region, value::word(text)),
    },
    Key {
        name: "backup.credentials",
        default: "",
        doc: "File, readable by its owner only, with the id of the access key in the first line and\n\
              the key in the second. Default: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the\n\
              environment.",
        set: |c, text| put(&mut c.backup.credentials, value::path(text).map(Some)),
    },
    Key {
        name: "identity.mode",
        default: "builtin",
        doc: "Who knows users and projects: the daemon itself (\"builtin\"), or a \"keystone\" elsewhere. Then\n\
              /identity is not served, and the keys below say where it is.",
        set: |c, text| {
            let choices = [
                ("builtin", IdentityMode::BuiltIn),
                ("keystone", IdentityMode::Keystone),
            ];
            put(&mut c.identity.mode, value::choice(text, &choices))
        },
    },
    Key {
        name: "identity.url",
        default: "",
        doc: "URL of the Keystone, with or without /v3.",
        set: |c, text| {
            put(
                &mut c.identity.url,
                value::service_url(text, "/v3").map(Some),
            )
        },
    },
    Key {
        name: "identity.ca",
        default: "",
        doc: "PEM file with the CA of its certificate. Default: the system's.",
        set: |c, text| put(&mut c.identity.ca, value::path(text).map(Some)),
    },
    Key {
        name: "identity.credentials",
        default: "",
        doc: "File, readable by its owner only, with the name of the daemon's user there in the first line\n\
              and its password in the second. Default: CINDERBLOCK_IDENTITY_USERNAME and\n\
              CINDERBLOCK_IDENTITY_PASSWORD in the environment.",
        set: |c, text| put(&mut c.identity.credentials, value::path(text).map(Some)),
    },
    Key {
        name: "identity.user_domain",
        default: "Default",
        doc: "Domain of that user, by name.",
        set: |c, text| put(&mut c.identity.user_domain, value::name(text)),
    },
    Key {
        name: "identity.project",
        default: "service",
        doc: "Project that the user has the role service or admin on, by name.",
        set: |c, text| put(&mut c.identity.project, value::name(text)),
    },
    Key {
        name: "identity.project_domain",
        default: "Default",
        doc: "Domain of that project, by name.",
        set: |c, text| put(&mut c.identity.project_domain, value::name(text)),
    },
    Key {
        name: "identity.cache_s",
        default: "60",
        doc: "Seconds for which an answer about a token holds: a token that is revoked may be good for as\n\
              long. 0 asks about every request.",
        set: |c, text| put(&mut c.identity.cache, value::seconds(text, 0, 300)),
    },
    Key {
        name: "image.mode",
        default: "builtin",
        doc: "Where images are: in the daemon itself (\"builtin\"), or in a \"glance\" elsewhere, which needs\n\
              identity.mode = \"keystone\". Then /image is not served, and the keys below say where it is.",
        set: |c, text| {
            let choices = [
                ("builtin", ImageMode::BuiltIn),
                ("glance", ImageMode::Glance),
            ];
            put(&mut c.image.mode, value::choice(text, &choices))
        },
    },
    Key {
        name: "image.url",
        default: "",
        doc: "URL of the Glance, with or without /v2.",
        set: |c, text| put(&mut c.image.url, value::service_url(text, "/v2").map(Some)),
    },
    Key {
        name: "image.ca",
        default: "",
        doc: "PEM file with the CA of its certificate. Default: the system's.",
        set: |c, text| put(&mut c.image.ca, value::path(text).map(Some)),
    },
    Key {
        name: "audit.file",
        default: "",
        doc: "File that gets a line of JSON for every request that changes something and for every login.\n\
              Made for its owner only; opened again on SIGHUP. Default: none.",
        set: |c, text| put(&mut c.audit, value::path(text).map(Some)),
    },
    Key {
        name: "metrics.listen",
        default: "none",
        doc: "Loopback address that answers /metrics without a token, or \"none\".",
        set: |c, text| put(&mut c.metrics_listen, value::optional_listen(text)),
    },
    Key {
        name: "scrub.interval_days",
        default: "30",
        doc: "Days from the end of one scrub to the beginning of the next, which reads and verifies all\n\
              that is stored; 0 for only when asked (`cinderblock scrub`).",
        set: |c, text| {
            let days = value::count(text, 0, 3650);
            put(&mut c.scrub.interval_s, days.map(|days| days * 86_400))
        },
    },
    Key {
        name: "scrub.rate",
        default: "32MiB",
        doc: "Bytes that scrub reads in a second at most, in each pool; 1MiB at least.",
        set: |c, text| {
            put(&mut c.scrub.bytes_per_s, value::size(text))?;
            match c.scrub.bytes_per_s {
                SCRUB_RATE_MIN.. => Ok(()),
                _ => Err("the least is 1MiB".to_owned()),
            }
        },
    },
    Key {
        name: "log.format",
        default: "text",
        doc: "\"text\" for people, \"json\" for collectors.",
        set: |c, text| {
            let choices = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            put(&mut c.log.format, value::choice(text, &choices))
        },
    },
    Key {
        name: "log.level",
        default: "info",
        doc: "error, warn, info, debug or trace; also by part, as in \"info,nbd=debug\".",
        set: |c, text| {
            c.log.level = text.to_owned();
            tracing_subscriber::EnvFilter::try_new(text)
                .map(|_| ())
                .map_err(|error| format!("`{text}`: {error}"))
        },
    },
];
