//! Key files: what they hold, and that nothing else passes for them.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::{FILE_BYTES, FILE_MAGIC, Keys, MASTER_BYTES, Sealing, check_file, parse_master};
use crate::disk::sim::SimIo;
use crate::disk::{Caching, Create, Io, RealIo};
use crate::{DomainId, ErrorKind};

const DOMAIN: DomainId = DomainId(Uuid::from_u128(5));

fn keys(io: &SimIo) -> Keys {
    Keys::new(
        Arc::new(io.clone()),
        "/master.key".into(),
        "/pool/keys".into(),
    )
}

fn contents(io: &dyn Io, path: &str) -> Vec<u8> {
    let file = io
        .open(Path::new(path), Create::Never, Caching::Buffered)
        .unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn a_key_returns_and_its_file_tells_nothing() {
    let io = SimIo::new(3);
    let id = keys(&io).create(DOMAIN, None).unwrap();
    let path = format!("/pool/keys/{DOMAIN}.key");
    let bytes = contents(&io, &path);
    let fixed: [u8; FILE_BYTES] = bytes.as_slice().try_into().unwrap();
    assert_eq!(bytes[..12], *b"CBDKEY\r\n\x01\0\0\0");
    assert_eq!(bytes[24..40], *DOMAIN.0.as_bytes());
    assert_eq!(bytes[56..72], id);
    let master = contents(&io, "/master.key");
    assert_eq!(master.len(), MASTER_BYTES);
    assert!(
        !bytes
            .windows(16)
            .any(|part| master.windows(16).any(|of| of == part))
    );
    let sealing = Sealing::new(DOMAIN, id);
    let first = keys(&io);
    assert_eq!(first.get(&sealing).unwrap().id, id);
    assert_eq!(first.loaded(), 1);
    first.get(&sealing).unwrap();
    assert_eq!(first.loaded(), 1);
    // Every byte is vouched for, also where the checksum has been mended.
    for at in 0..FILE_BYTES {
        let mut changed = fixed;
        changed[at] ^= 1;
        assert!(
            check_file(&changed, FILE_MAGIC, DOMAIN).is_err(),
            "byte {at}"
        );
    }
    let file = io.open(Path::new(&path), Create::Never, Caching::Buffered);
    let file = file.unwrap();
    for at in (10..24).chain(40..120) {
        let mut changed = fixed;
        changed[at] ^= 1;
        let crc = crc32c::crc32c(&changed[..FILE_BYTES - 4]);
        changed[FILE_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
        file.write_at(&changed, 0).unwrap();
        let refused = keys(&io).get(&Sealing::new(DOMAIN, id)).map(|_| ());
        assert_eq!(
            refused.unwrap_err().kind(),
            ErrorKind::KeyUnavailable,
            "byte {at}"
        );
    }
}

#[test]
fn a_destroyed_key_is_gone_and_others_stay() {
    let io = SimIo::new(3);
    let other = DomainId(Uuid::from_u128(6));
    let id = keys(&io).create(DOMAIN, None).unwrap();
    let other_id = keys(&io).create(other, None).unwrap();
    let secret = contents(&io, &format!("/pool/keys/{DOMAIN}.key"));
    keys(&io).destroy_unknown(|domain| domain == other).unwrap();
    keys(&io).destroy(DOMAIN).unwrap();
    let gone = keys(&io).get(&Sealing::new(DOMAIN, id)).map(|_| ());
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::KeyUnavailable);
    keys(&io).get(&Sealing::new(other, other_id)).unwrap();
    // Overwritten before it was removed.
    let history = io.ops();
    assert_eq!(secret.len(), FILE_BYTES);
    let wiped = history
        .iter()
        .rev()
        .take(4)
        .any(|op| op.starts_with("Write"));
    assert!(wiped, "{:?}", &history[history.len() - 4..]);
}

#[test]
fn master_key_files_are_what_they_say_or_refused() {
    let line = format!("cinderblock-master-key-1:{}\n", "0a".repeat(32));
    assert_eq!(*parse_master(line.as_bytes()).unwrap(), [10; 32]);
    for wrong in [
        String::new(),
        line.replace("key-1", "key-2"),
        line.replace("0a0a", "0a"),
        line.replacen("0a", "0g", 1),
        format!("{line}\n"),
    ] {
        assert!(parse_master(wrong.as_bytes()).is_none(), "{wrong}");
    }
}

#[test]
fn a_master_key_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let master = dir.path().join("master.key");
    let fresh = || {
        let io: Arc<dyn Io> = Arc::new(RealIo::new());
        Keys::new(io, master.clone(), dir.path().join("keys"))
    };
    let id = fresh().create(DOMAIN, None).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&master), 0o600);
    assert_eq!(mode(&dir.path().join(format!("keys/{DOMAIN}.key"))), 0o600);
    fresh().get(&Sealing::new(DOMAIN, id)).unwrap();
    std::fs::set_permissions(&master, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = fresh().get(&Sealing::new(DOMAIN, id)).map(|_| ());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::KeyUnavailable);
}
