//! Records: what is encoded decodes, and nothing else does.

use proptest::prelude::*;

use super::*;

fn seals() -> WriteSeals {
    WriteSeals {
        opening: ContainerId(77),
        first: 9,
        tags: vec![[8; 16], [9; 16]],
    }
}

fn examples() -> Vec<Record> {
    let (volume, source) = (VolumeId(Uuid::from_u128(7)), VolumeId(Uuid::from_u128(8)));
    let domain = DomainId(Uuid::from_u128(9));
    let snapshot = SnapshotId(Uuid::from_u128(10));
    let (head, source_head, packing) = (LayerId(2), LayerId(3), Packing::Background);
    let size_bytes = 1 << 30;
    vec![
        Record::Write {
            layer: head,
            first_chunk: 5,
            first_block: 1,
            checksums: vec![1, 2],
            seals: None,
        },
        Record::Write {
            layer: head,
            first_chunk: 5,
            first_block: 1,
            checksums: vec![1, 2],
            seals: Some(seals()),
        },
        Record::SealedDomain {
            domain,
            key_id: [6; 16],
        },
        Record::Zero {
            layer: head,
            first_chunk: 5,
            chunks: 1 << 34,
        },
        Record::Trim {
            layer: head,
            first_chunk: 5,
            chunks: 6,
        },
        Record::Domain {
            domain,
            key: [3; 32],
        },
        Record::CreateVolume {
            volume,
            head,
            parent: None,
            size_bytes,
            domain,
            packing,
        },
        Record::CreateVolume {
            volume,
            head,
            parent: Some(LayerId(1)),
            size_bytes,
            domain,
            packing,
        },
        Record::CloneVolume {
            volume,
            head,
            source,
            source_head,
            size_bytes,
            domain,
            packing,
        },
        Record::Snapshot {
            created_us: 4,
            cuts: vec![Cut {
                snapshot,
                volume,
                new_head: head,
            }],
        },
        Record::DeleteSnapshot { snapshot },
        Record::DeleteVolume { volume },
        Record::ResizeVolume { volume, size_bytes },
    ]
}

#[test]
fn every_record_survives_its_encoding() {
    let (records, mut table) = (examples(), Vec::new());
    for record in &records {
        record.encode(&mut table);
    }
    assert_eq!(decode_table(&table, records.len() as u32).unwrap(), records);
    assert!(decode_table(&table, records.len() as u32 - 1).is_err());
    assert!(decode_table(&table[..table.len() - 1], records.len() as u32).is_err());
}

#[test]
fn the_hot_path_writes_the_same_bytes() {
    for (seals, start) in [
        (None, [1, 0, 0, 0, 36, 0, 0, 0]),
        (Some(seals()), [4, 0, 0, 0, 84, 0, 0, 0]),
    ] {
        let (mut slow, mut fast) = (Vec::new(), Vec::new());
        append_write(&mut fast, LayerId(4), 9, 3, &[7, 8], seals.as_ref());
        Record::Write {
            layer: LayerId(4),
            first_chunk: 9,
            first_block: 3,
            checksums: vec![7, 8],
            seals,
        }
        .encode(&mut slow);
        assert_eq!(slow, fast);
        assert_eq!(fast[..8], start);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..400), count in any::<u32>()) {
        let _ = decode_table(&bytes, count);
    }
}
