//! Encrypted backups.

use std::cell::Cell;
use std::path::PathBuf;

use store::{DomainId, Encryption, VolumeSpec};

use super::{
    Ancestor, Durability, Fixture, MIB, Onto, SnapshotId, StopsAfter, Uuid, VolumeId, noise,
    restore, spec,
};
use crate::backup::{ErrorKind, Method, remove};

fn sealed_spec() -> VolumeSpec {
    VolumeSpec {
        domain: DomainId(Uuid::from_u128(77)),
        encryption: Encryption::DomainKey,
        ..spec()
    }
}

/// A fixture whose volume is encrypted.
fn fixture() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.volume = VolumeId(Uuid::from_u128(3));
    let made = fixture.store.create_volume(fixture.volume, sealed_spec());
    made.unwrap();
    fixture
}

impl Fixture {
    fn packs(&self) -> Vec<PathBuf> {
        let mut files = self.files();
        files.retain(|path| path.components().any(|part| part.as_os_str() == "packs"));
        files
    }

    fn holds(&self, word: &[u8]) -> bool {
        let has = |path: PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(word.len()).any(|part| part == word)
        };
        self.files().into_iter().any(has)
    }
}

#[test]
fn encrypted_chunks_come_back_and_are_shared_and_not_readable() {
    let fixture = fixture();
    fixture.put(0, b"clandestine");
    fixture.put(8 * MIB, &noise(1, 3 << 20));
    let first = fixture.freeze();
    let (full, written) = fixture.back_up(first, None);
    assert!(written.is_sealed);
    fixture.put(20 * MIB, b"clandestine too");
    let second = fixture.freeze();
    // The second finds the chunks of the first.
    for (older, method, objects) in [
        (Some(first), Method::Map, 3),
        (None, Method::Fingerprint, 2),
    ] {
        let (increment, written) = fixture.back_up(second, Some((&full, older)));
        assert_eq!((written.method, written.objects), (method, objects));
        assert!(fixture.restored(&increment).unwrap() == fixture.content(second));
    }
    assert!(fixture.restored(&full).unwrap() == fixture.content(first));
    let (_, again) = fixture.back_up(second, None);
    assert_eq!(again.key_id, written.key_id);
    assert_eq!(again.objects, 2, "all chunks are there already");
    assert!(!fixture.holds(b"clandestine"));
}

#[test]
fn the_next_attempt_goes_on_with_the_key_of_the_one_before() {
    let fixture = fixture();
    fixture.put(0, &noise(1, 40 << 20));
    let (frozen, id): (SnapshotId, Uuid) = (fixture.freeze(), fixture.fresh());
    let stopped = fixture.try_write(id, frozen, None, &StopsAfter(Cell::new(35)));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
    let before = fixture.packs();
    assert_eq!(before.len(), 2);
    let times = |paths: &[PathBuf]| -> Vec<_> {
        let time = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
        paths.iter().map(time).collect()
    };
    let (old, content) = (times(&before), fixture.content(frozen));
    let written = fixture.try_write(id, frozen, None, &super::Silent).unwrap();
    assert_eq!(times(&before), old);
    assert_eq!(fixture.packs().len(), 3);
    let backup = super::ancestor(id, &written);
    assert!(fixture.restored(&backup).unwrap() == content);
}

#[test]
fn no_bit_of_an_encrypted_chunk_can_be_changed_and_nothing_moved() {
    let fixture = fixture();
    fixture.put(0, &noise(1, 200_000));
    let (backup, _) = fixture.back_up(fixture.freeze(), None);
    let [pack] = fixture.packs().try_into().unwrap();
    let right = std::fs::read(&pack).unwrap();
    for at in [24, 24 + 32 * 1024, 24 + 32 * 1024 + 15, 60_000] {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        std::fs::write(&pack, wrong).unwrap();
        let refused = fixture.restored(&backup).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "byte {at}");
        assert!(refused.to_string().contains("seal"), "{refused}");
    }
    // Two chunks in each other's place.
    let mut wrong = right.clone();
    let sealed = 32 * 1024 + 16;
    let (one, rest) = wrong[24..].split_at_mut(sealed);
    one.swap_with_slice(&mut rest[..sealed]);
    std::fs::write(&pack, wrong).unwrap();
    assert_eq!(
        fixture.restored(&backup).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    std::fs::write(&pack, right).unwrap();
    fixture.restored(&backup).unwrap();
}

#[test]
fn the_key_goes_with_the_last_backup_that_needs_it() {
    let fixture = fixture();
    fixture.put(0, &noise(1, 200_000));
    let (first, written) = fixture.back_up(fixture.freeze(), None);
    let (second, _) = fixture.back_up(fixture.freeze(), None);
    remove(&fixture.target, &first).unwrap();
    let restored = fixture.restored(&second).unwrap();
    assert!(restored == fixture.content(fixture.freeze()));
    assert!(fixture.holds(written.key_id.as_bytes()));
    remove(&fixture.target, &second).unwrap();
    assert!(!fixture.holds(written.key_id.as_bytes()));
    let (_, later) = fixture.back_up(fixture.freeze(), None);
    assert_ne!(later.key_id, written.key_id);
}

#[test]
fn an_increment_may_build_on_a_backup_that_was_not_encrypted() {
    let mut fixture = fixture();
    let sealed = fixture.volume;
    fixture.volume = VolumeId(Uuid::from_u128(2));
    fixture.put(0, &noise(1, 200_000));
    let (full, written): (Ancestor, _) = fixture.back_up(fixture.freeze(), None);
    assert!(!written.is_sealed);
    let plain = fixture.content(fixture.freeze());
    let target = fixture.store.volume(sealed).unwrap();
    restore(
        &fixture.target,
        &full,
        (&fixture.store, &target),
        Onto::Used,
        &super::Silent,
    )
    .unwrap();
    target
        .write(MIB, b"clandestine", Durability::Buffered)
        .unwrap();
    fixture.volume = sealed;
    let frozen = fixture.freeze();
    let (increment, written) = fixture.back_up(frozen, Some((&full, None)));
    assert!(written.is_sealed && written.method == Method::Fingerprint);
    let content = fixture.content(frozen);
    assert!(content[..200_000] == plain[..200_000]);
    assert!(fixture.restored(&increment).unwrap() == content);
    assert!(!fixture.holds(b"clandestine"));
}
