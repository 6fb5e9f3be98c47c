//! Precedence, places of errors and the rules between settings.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::{Config, DedupDomain, Flag, KEYS, documentation, file};

fn env(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let pair = |(name, value): &(&str, &str)| (name.into(), value.into());
    pairs.iter().map(pair).collect()
}

fn flags(pairs: &[(&'static str, &str)]) -> Vec<Flag> {
    let flag = |(key, text): &(&'static str, &str)| (*key, (*text).to_owned(), "--flag");
    pairs.iter().map(flag).collect()
}

fn load(pairs: &[(&'static str, &str)]) -> Result<Config, String> {
    Config::load(None, env(&[]), &flags(pairs)).map_err(|error| error.to_string())
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    let text = "data = '/a'\nregion = 'file'\nmemory = '2GiB'\ndedup_domain = 'pool'\n";
    std::fs::write(&path, text).unwrap();
    let said = env(&[
        ("CINDERBLOCK_REGION", "env"),
        ("CINDERBLOCK_MEMORY", "3GiB"),
    ]);
    let config = Config::load(Some(&path), said, &flags(&[("memory", "4GiB")])).unwrap();
    assert_eq!(config.data, Path::new("/a"));
    assert_eq!(config.region, "env");
    assert_eq!(config.memory_bytes, 4 << 30);
    assert_eq!(config.dedup_domain, DedupDomain::Pool);
    assert_eq!(config.nbd.socket, Path::new("/a/nbd.sock"));
    assert_eq!(config.master_key, Path::new("/a/master.key"));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8700");
}

#[test]
fn a_policy_file_is_compiled_with_the_settings() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy.yaml");
    std::fs::write(&policy, "\"volume:get\": \"role:reader\"\n").unwrap();
    let text = policy.to_str().unwrap();
    let config = load(&[("data", "/a"), ("policy_file", text)]).unwrap();
    assert_ne!(config.policy, load(&[("data", "/a")]).unwrap().policy);
    std::fs::write(&policy, "# ours\n\"volume:got\": \"role:reader\"\n").unwrap();
    let error = load(&[("data", "/a"), ("policy_file", text)]).unwrap_err();
    let told = "policy.yaml: line 2: volume:got: there is no such rule";
    assert!(error.ends_with(told), "{error}");
    assert!(load(&[("data", "/a"), ("policy_file", "/nowhere/policy.yaml")]).is_err());
}

#[test]
fn recompression_can_be_paced_and_turned_off() {
    let usual = load(&[("data", "/a")]).unwrap().recompression();
    assert_eq!(usual, Some(store::Recompression::default()));
    let paced = [
        ("data", "/a"),
        ("recompress_after_s", "60"),
        ("recompress_cpu_percent", "5"),
    ];
    let paced = load(&paced).unwrap().recompression().unwrap();
    assert_eq!((paced.cold_after_s, paced.cpu_percent), (60, 5));
    let off = load(&[("data", "/a"), ("recompress", "false")]).unwrap();
    assert_eq!(off.recompression(), None);
    assert!(load(&[("data", "/a"), ("recompress_cpu_percent", "0")]).is_err());
}

#[test]
fn fingerprints_are_sampled_unless_all_are_asked_for() {
    let usual = load(&[("data", "/a")]).unwrap();
    assert_eq!(usual.fingerprints, store::Fingerprints::Sampled);
    let full = load(&[("data", "/a"), ("fingerprints", "full")]).unwrap();
    assert_eq!(full.fingerprints, store::Fingerprints::Full);
    assert!(load(&[("data", "/a"), ("fingerprints", "some")]).is_err());
}

#[test]
fn errors_name_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    std::fs::write(&path, "data = '/a'\n\nmemory = 'much'\n").unwrap();
    let error = Config::load(Some(&path), env(&[]), &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("c.toml:3: memory: `much`"), "{error}");
    let said = env(&[("CINDERBLOCK_LOG_FORMAT", "xml")]);
    let error = Config::load(None, said, &[]).unwrap_err().to_string();
    assert!(
        error.starts_with("CINDERBLOCK_LOG_FORMAT: log.format:"),
        "{error}"
    );
    assert!(load(&[]).unwrap_err().contains("--data"));
    let missing = Config::load(Some(&dir.path().join("none")), env(&[]), &[]);
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("none: No such file")
    );
}

#[test]
fn a_variable_that_is_no_setting_is_an_error() {
    let load = |pairs| Config::load(None, env(pairs), &flags(&[("data", "/d")]));
    let error = load(&[("PATH", "/"), ("CINDERBLOCK_NBD_LISTNE", "x")]).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("CINDERBLOCK_NBD_LISTNE: no setting"),
        "{error}"
    );
    let config = load(&[
        ("CINDERBLOCK_ADMIN_PASSWORD", "secret"),
        ("CINDERBLOCK_KILL_ROUNDS", "50"),
        ("CINDERBLOCK_PORT_8700_TCP_ADDR", "10.0.0.1"),
        ("CINDERBLOCK_SERVICE_HOST", "10.0.0.1"),
        ("CINDERBLOCKS", "other"),
    ]);
    config.unwrap();
    let odd = OsString::from_vec(vec![0xff]);
    let error = Config::load(None, [("CINDERBLOCK_REGION".into(), odd)], &[]).unwrap_err();
    assert_eq!(error.to_string(), "CINDERBLOCK_REGION: not UTF-8");
}

#[test]
fn wildcards_and_plaintext_are_asked_for() {
    let data = ("data", "/d");
    let open = ("allow_plaintext", "true");
    let fails = |pairs: &[(&'static str, &str)], what: &str| {
        let error = load(pairs).unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    fails(&[data, ("http.listen", "192.0.2.1:80")], "allow_plaintext");
    fails(&[data, ("nbd.listen", "192.0.2.1:80")], "allow_plaintext");
    fails(
        &[data, open, ("http.listen", "0.0.0.0:80")],
        "set public_url",
    );
    fails(
        &[data, open, ("nbd.listen", "[::]:80")],
        "set nbd.advertise",
    );
    fails(&[data, ("metrics.listen", "192.0.2.1:80")], "loopback");
    load(&[data, open, ("http.listen", "192.0.2.1:80")]).unwrap();
    load(&[
        data,
        open,
        ("http.listen", "0.0.0.0:0"),
        ("public_url", "http://h:1"),
    ])
    .unwrap();
    load(&[
        data,
        open,
        ("nbd.listen", "0.0.0.0:0"),
        ("nbd.advertise", "h"),
    ])
    .unwrap();
}

#[test]
fn encryption_needs_both_files_and_lets_others_in() {
    let data = ("data", "/d");
    let (cert, key) = (("http.tls_cert", "/c.pem"), ("http.tls_key", "/k.pem"));
    let outside = ("http.listen", "192.0.2.1:80");
    load(&[data, cert, key, outside]).unwrap();
    for (pairs, what) in [
        (vec![data, cert], "http.tls_key"),
        (vec![data, key], "http.tls_cert"),
        (vec![data, ("http.tls_ca", "/ca.pem")], "http.tls_cert"),
        (vec![data, cert, key, ("public_url", "http://h")], "http"),
        // What is encrypted is the API only.
        (
            vec![data, cert, key, ("nbd.listen", "192.0.2.1:80")],
            "nbd.listen",
        ),
    ] {
        let error = load(&pairs).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn services_elsewhere_are_named_and_encrypted() {
    let data = ("data", "/d");
    let keystone = ("identity.mode", "keystone");
    let error = load(&[data, keystone]).unwrap_err();
    assert!(error.contains("identity.url: say where"), "{error}");
    let plain = ("identity.url", "http://k.example:5000/v3");
    let error = load(&[data, keystone, plain]).unwrap_err();
    assert!(error.contains("allow_plaintext"), "{error}");
    let config = load(&[data, keystone, plain, ("allow_plaintext", "true")]).unwrap();
    assert_eq!(
        config.identity.url.as_deref(),
        Some("http://k.example:5000")
    );
    assert_eq!(config.identity.project, "service");
    let keystone = [data, keystone, ("identity.url", "http://127.0.0.1:5000")];
    load(&keystone).unwrap();
    let with = |more: &[(&'static str, &str)]| load(&[&keystone, more].concat());
    let glance = ("image.mode", "glance");
    let error = with(&[glance]).unwrap_err();
    assert!(error.contains("image.url: say where"), "{error}");
    let error = with(&[glance, ("image.url", "http://g.example:9292")]).unwrap_err();
    assert!(error.contains("allow_plaintext"), "{error}");
    let url = ("image.url", "https://g.example:9292/v2");
    let config = with(&[glance, url]).unwrap();
    assert_eq!(config.image.url.as_deref(), Some("https://g.example:9292"));
    // Its users are those of the Keystone.
    let error = load(&[data, glance, url]).unwrap_err();
    assert!(error.contains("identity.mode = \"keystone\""), "{error}");
}

#[test]
fn a_socket_path_must_fit_its_address() {
    let long = format!("/{}", "x".repeat(110));
    assert!(load(&[("data", &long)]).unwrap_err().contains("nbd.socket"));
    load(&[("data", &long), ("nbd.socket", "/run/n.sock")]).unwrap();
}

#[test]
fn every_key_has_documentation_and_a_working_default() {
    let text = documentation();
    for key in KEYS {
        assert!(
            !key.doc.is_empty() && text.contains(&key.env()),
            "{}",
            key.name
        );
    }
    let uncommented: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| !rest.starts_with(' '))
                .unwrap_or(line)
        })
        .filter(|line| !line.ends_with("\"\""))
        .map(|line| format!("{line}\n"))
        .collect();
    let file::Settings {
        given, backends, ..
    } = file::parse(Path::new("doc"), &uncommented).unwrap();
    assert_eq!(backends.len(), 1);
    let expected = KEYS.iter().filter(|key| !key.default.is_empty()).count();
    assert_eq!(given.len(), expected);
}
