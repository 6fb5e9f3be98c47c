//! Encrypted volumes through the router and down to the bytes on the disk: what a type promises holds
//! for whatever is made of its volumes.

mod backups;
mod keys;
mod moving;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::StatusCode;
use serde_json::{Value, json};
use store::{Durability, VolumeId, VolumeInfo};

use super::tests::Site;
use crate::testing::{Answer, Cloud};

/// What encrypted volumes hold.
const SECRET: &str = "clandestine figures";
/// What others hold.
const OPEN: &str = "figures for everybody";
/// Where they hold it.
const AT: u64 = 5 << 20;

/// A cloud with a type that encrypts, `secret`, and one that does not, `open`.
struct Vault {
    site: Site,
}

/// Lines that no codec leaves unrecognisable.
fn lines(word: &str) -> Vec<u8> {
    let line = |number: u32| format!("{word} {number:08x}\n").into_bytes();
    (0..4000).flat_map(line).collect()
}

/// The files below a directory in which a word is.
fn files_with(dir: &Path, word: &str) -> Vec<PathBuf> {
    let found = Command::new("grep")
        .args(["-rlF", "--", word])
        .arg(dir)
        .output()
        .unwrap();
    assert!(found.status.code() < Some(2), "{found:?}");
    let text = String::from_utf8(found.stdout).unwrap();
    text.lines().map(PathBuf::from).collect()
}

impl Vault {
    async fn new() -> Self {
        Self::on(Cloud::new()).await
    }

    async fn on(cloud: Cloud) -> Self {
        let site = Site::on(cloud).await;
        site.create_type("open", true).await;
        let vault = Self { site };
        vault.encrypted_type("secret", 256).await;
        vault
    }

    async fn encrypted_type(&self, name: &str, key_size: u32) {
        let id = self.site.create_type(name, true).await;
        let wanted = json!({"encryption": {
            "provider": "luks", "control_location": "back-end", "key_size": key_size,
        }});
        let path = format!("/types/{id}/encryption");
        let made = self.site.post(&path, wanted).await;
        assert_eq!(made.status, StatusCode::OK, "{:?}", made.body);
    }

    async fn make(&self, kind: &str, wanted: Value) -> String {
        let id = self.site.make(kind, wanted).await;
        self.site.run_jobs();
        let shown = self.site.shown(kind, &id).await;
        assert_eq!(shown["status"], "available", "{shown}");
        id
    }

    /// A volume of a type with lines of a word in it.
    async fn volume(&self, volume_type: &str, word: &str) -> String {
        let wanted = json!({"size": 1, "volume_type": volume_type});
        let id = self.make("volume", wanted).await;
        self.write(&id, word);
        id
    }

    async fn act(&self, volume: &str, action: Value) -> Answer {
        let path = format!("/volumes/{volume}/action");
        self.site.post(&path, action).await
    }

    async fn status(&self, volume: &str) -> String {
        let shown = self.site.shown("volume", volume).await;
        shown["status"].as_str().unwrap_or("gone").to_owned()
    }

    /// The pool that has a volume.
    fn store(&self, volume: &str) -> &store::Store {
        let id = VolumeId(volume.parse().unwrap());
        let backends = self.site.cloud.services.backends();
        let mut stores = backends.iter().map(|backend| backend.store());
        stores.find(|store| store.volume_info(id).is_ok()).unwrap()
    }

    fn disk(&self, volume: &str) -> store::Volume {
        let id = VolumeId(volume.parse().unwrap());
        self.store(volume).volume(id).unwrap()
    }

    fn info(&self, volume: &str) -> VolumeInfo {
        let id = VolumeId(volume.parse().unwrap());
        self.store(volume).volume_info(id).unwrap()
    }

    fn write(&self, volume: &str, word: &str) {
        let disk = self.disk(volume);
        disk.write(AT, &lines(word), Durability::Durable).unwrap();
    }

    fn holds(&self, volume: &str, word: &str) -> bool {
        let mut found = lines(word);
        self.disk(volume).read(AT, &mut found).unwrap();
        found == lines(word)
    }

    /// Whether a volume shows and is what its type says, and has its content.
    async fn check(&self, volume: &str, is_encrypted: bool, word: &str) {
        let shown = self.site.shown("volume", volume).await;
        assert_eq!(shown["status"], "available", "{shown}");
        assert_eq!(shown["encrypted"], json!(is_encrypted));
        let really = self.info(volume).encryption == store::Encryption::DomainKey;
        assert_eq!(really, is_encrypted);
        assert!(self.holds(volume, word), "{shown}");
    }

    /// The files of the whole cloud in which a word is: pools, catalogue, backups.
    fn files_with(&self, word: &str) -> Vec<PathBuf> {
        files_with(self.site.cloud.dir(), word)
    }

    /// Moves all data out of the journal.
    fn pack(&self) {
        for backend in self.site.cloud.services.backends().iter() {
            backend.store().reclaim_now().unwrap();
        }
    }

    /// A group with one volume of the type `secret` that has the secret in it, and a copy of the group:
    /// the volumes.
    async fn groups(&self) -> [String; 2] {
        let group_type = self.site.make("group_type", json!({"name": "gt"})).await;
        let wanted = json!({"name": "g", "group_type": group_type, "volume_types": ["secret"]});
        let group = self.make("group", wanted).await;
        let wanted = json!({"size": 1, "volume_type": "secret", "group_id": group});
        let first = self.make("volume", wanted).await;
        self.write(&first, SECRET);
        let from = json!({"create-from-src": {"name": "copy", "source_group_id": group}});
        let made = self.site.post("/groups/action", from).await;
        assert_eq!(made.status, StatusCode::ACCEPTED, "{:?}", made.body);
        self.site.run_jobs();
        let copy = super::tests::id_of(&made);
        let all = self.site.get("/volumes/detail").await;
        let all = all.body["volumes"].as_array().unwrap().clone();
        let second = all
            .iter()
            .find(|one| one["group_id"] == json!(copy))
            .unwrap();
        [first, second["id"].as_str().unwrap().to_owned()]
    }
}

#[tokio::test]
async fn nothing_of_encrypted_volumes_is_readable_however_they_were_made() {
    let vault = Vault::new().await;
    let first = vault.volume("secret", SECRET).await;
    let snapshot = vault.make("snapshot", json!({"volume_id": first})).await;
    let mut all = vec![first.clone()];
    for source in [
        json!({"size": 2, "snapshot_id": snapshot}),
        json!({"size": 1, "source_volid": first}),
        json!({"size": 1, "source_volid": first, "volume_type": "secret"}),
    ] {
        all.push(vault.make("volume", source).await);
    }
    all.extend(vault.groups().await);
    let extend = json!({"os-extend": {"new_size": 3}});
    assert_eq!(vault.act(&first, extend).await.status, StatusCode::ACCEPTED);
    vault.site.run_jobs();
    let open = vault.volume("open", OPEN).await;
    for _ in 0..2 {
        for volume in &all {
            vault.check(volume, true, SECRET).await;
        }
        vault.check(&open, false, OPEN).await;
        assert_eq!(vault.files_with(SECRET), Vec::<PathBuf>::new());
        // The search finds what is not encrypted: in the journal first, in packs later.
        assert!(!vault.files_with(OPEN).is_empty());
        vault.pack();
    }
    // What belongs together has one key, and what does not has not.
    let domain = |volume: &String| vault.info(volume).domain;
    assert!(
        all[..4]
            .iter()
            .all(|volume| domain(volume) == domain(&first))
    );
    assert_eq!(domain(&all[4]), domain(&all[5]));
    assert_ne!(domain(&all[4]), domain(&first));
    let other = vault.volume("secret", SECRET).await;
    assert_ne!(domain(&other), domain(&first));
}

#[tokio::test]
async fn key_files_are_for_the_daemon_alone() {
    let vault = Vault::new().await;
    vault.volume("secret", SECRET).await;
    let dir = vault.site.cloud.dir();
    let keys = std::fs::read_dir(dir.join("pool/keys")).unwrap();
    let mut files: Vec<PathBuf> = keys.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    files.push(dir.join("master.key"));
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    // In no other file is the master key.
    let master = std::fs::read_to_string(dir.join("master.key")).unwrap();
    let digits = master.trim().rsplit(':').next().unwrap().to_owned();
    assert_eq!(vault.files_with(&digits), [dir.join("master.key")]);
}
