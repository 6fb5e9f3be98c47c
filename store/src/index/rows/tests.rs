//! Byte-exact fixtures of every row, and decoding of arbitrary bytes.

use proptest::prelude::any;
use proptest::{collection, proptest};
use uuid::Uuid;

use super::{
    CheckpointRow, ContainerRow, DomainRow, ForwardRow, LayerId, LayerRow, LayerState, Location,
    SnapshotRow, VolumeRow,
};
use crate::addr::{Address, ContainerId};
use crate::chunk::DomainKey;
use crate::index::codec::Row;
use crate::pack::LocalPlace;
use crate::{DomainId, Packing, VolumeId};

const ID: Uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF);
const ID_HEX: &str = "00112233445566778899aabbccddeeff";

/// Checks both directions; the checksum is recomputed, since its bytes follow from the others.
fn check<R: Row + PartialEq + std::fmt::Debug>(row: &R, hex: &str) {
    let bytes = row.encode();
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    let written: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(written, hex);
    assert_eq!(crc, crc32c::crc32c(body).to_le_bytes());
    assert_eq!(&R::decode(&bytes).unwrap(), row);
}

#[test]
fn volume_and_snapshot() {
    let volume = VolumeRow {
        head: LayerId(0x0A0B_0C0D),
        size_bytes: 1 << 40,
        domain: DomainId(ID),
        packing: Packing::Background,
    };
    check(&volume, &format!("010d0c0b0a0000000000010000{ID_HEX}01"));
    let snapshot = SnapshotRow {
        layer: LayerId(7),
        volume: VolumeId(ID),
        size_bytes: 512,
        created_us: 0x0102_0304_0506_0708,
    };
    check(
        &snapshot,
        &format!("0107000000{ID_HEX}00020000000000000807060504030201"),
    );
}

#[test]
fn layers() {
    let states = [
        (LayerState::Open, "01"),
        (LayerState::Frozen, "02"),
        (LayerState::Hidden, "03"),
        (LayerState::Dropping, "04"),
        (LayerState::Merged, "05"),
    ];
    for (state, code) in states {
        let (domain, delta_chunks) = (DomainId(ID), -2);
        let row = LayerRow {
            parent: Some(LayerId(9)),
            state,
            domain,
            delta_chunks,
        };
        check(&row, &format!("0109000000{code}{ID_HEX}feffffffffffffff"));
        let row = LayerRow {
            parent: None,
            ..row
        };
        check(&row, &format!("0100000000{code}{ID_HEX}feffffffffffffff"));
    }
}

#[test]
fn container_checkpoint_and_domain() {
    let container = ContainerRow {
        location: Location::Local(LocalPlace {
            pack: 3,
            offset: 0x1_0000_0000,
            len: 0x0020_0000,
        }),
        slots: 1024,
        live: 1000,
        plain_bytes: 4 << 20,
        domain: DomainId(ID),
        tight: false,
    };
    let location = "01030000000000000000000000010000000000 2000".replace(' ', "");
    check(&container, &format!("01{location}0004e80300004000{ID_HEX}"));
    let tight = ContainerRow {
        tight: true,
        ..container
    };
    check(&tight, &format!("02{location}0004e80300004000{ID_HEX}"));
    let checkpoint = CheckpointRow {
        applied_sequence: 1,
        next_container: 2,
        next_layer: 3,
        next_pack: 4,
        clean: true,
    };
    check(
        &checkpoint,
        "0101000000000000000200000000000000030000000400000000000000\
         01",
    );
    let sealed = DomainRow::Sealed([0xA5; 16]);
    assert_eq!(
        sealed.encode()[..17],
        [[2].as_slice(), &[0xA5; 16]].concat()
    );
    assert_eq!(sealed.encode().len(), 21);
    assert!(DomainRow::decode(&sealed.encode()).unwrap() == sealed);
    let key = DomainRow::Plain(DomainKey::new([0x5A; 32]));
    assert_eq!(key.encode().len(), 37);
    assert!(DomainRow::decode(&key.encode()).unwrap() == key);
}

#[test]
fn forwarding() {
    let mut row = ForwardRow::holes();
    for slot in 0..1000 {
        row.set(
            slot,
            Address::new(ContainerId(1), 0).advance(u64::from(slot)),
        );
    }
    check(
        &row,
        "02e80300040000000018000000000000 00"
            .replace(' ', "")
            .as_str(),
    );
    for slot in 0..1024 {
        row.set(slot, Address::new(ContainerId(u64::from(slot) + 1), 5));
    }
    assert_eq!(row.encode().len(), 1 + 1024 * 6 + 4);
    assert_eq!(ForwardRow::decode(&row.encode()).unwrap(), row);
}

#[test]
fn nonsense_is_refused() {
    let sealed = |body: &[u8]| [body, &crc32c::crc32c(body).to_le_bytes()].concat();
    let layer = |format: u8, state: u8, more: usize| {
        sealed(&[&[format, 0, 0, 0, 0, state], vec![0; 24 + more].as_slice()].concat())
    };
    assert!(LayerRow::decode(&layer(1, 0, 0)).is_err());
    assert!(LayerRow::decode(&layer(1, 6, 0)).is_err());
    assert!(LayerRow::decode(&layer(2, 1, 0)).is_err());
    assert!(LayerRow::decode(&layer(1, 1, 1)).is_err());
    assert!(LayerRow::decode(&layer(1, 1, 0)).is_ok());
    assert!(LayerRow::decode(&[]).is_err());
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(
        format in 0u8..4,
        body in collection::vec(any::<u8>(), 0..120),
    ) {
        let mut bytes = vec![format];
        bytes.extend_from_slice(&body);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        let _ = VolumeRow::decode(&bytes);
        let _ = SnapshotRow::decode(&bytes);
        let _ = LayerRow::decode(&bytes);
        let _ = ContainerRow::decode(&bytes);
        let _ = CheckpointRow::decode(&bytes);
        let _ = ForwardRow::decode(&bytes);
        let _ = DomainRow::decode(&bytes);
    }
}
