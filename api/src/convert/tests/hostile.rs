//! Crafted images: none makes a reader open something else, allocate what they claim, or panic.

use proptest::prelude::{any, prop, proptest};

use super::images::{descriptor, put, qcow2, qcow2_beside, qcow2_on, vmdk};
use super::{Claimed, look, refused};
use crate::convert::{Format, inspect};

#[test]
fn what_leads_elsewhere_is_refused() {
    let words = refused(&qcow2_on("/etc/shadow"), "qcow2");
    assert_eq!(words, "a qcow2 image may not have a backing file");
    let words = refused(&qcow2_beside("/etc/shadow"), "qcow2");
    assert_eq!(words, "a qcow2 image may not have an external data file");
    let mut quiet = qcow2_beside("/etc/shadow");
    put(&mut quiet, 72, &0_u64.to_be_bytes());
    let words = refused(&quiet, "qcow2");
    assert_eq!(words, "a qcow2 image may not have an external data file");
    for (capacity, extents) in [
        (2048, "RW 2048 FLAT \"/etc/shadow\" 0"),
        (2048, "RW 2048 SPARSE \"/etc/shadow\""),
        (2048, "RW 2048 SPARSE \"../shadow\""),
        (2048, "RW 1024 SPARSE \"a.vmdk\"\nRW 1024 SPARSE \"b.vmdk\""),
        (2048, "RW 4096 SPARSE \"a.vmdk\""),
        (0, "RW 2048 SPARSE \"a.vmdk\""),
        (2048, ""),
    ] {
        let words = refused(&vmdk(capacity, &descriptor(extents)), "vmdk");
        assert_eq!(words, "a vmdk image may not have its data in other files");
    }
    let own = "RW 2048 SPARSE \"a.vmdk\"\nparentFileNameHint=\"/etc/shadow\"";
    assert_eq!(
        refused(&vmdk(2048, &descriptor(own)), "vmdk"),
        "a vmdk image may not have a parent"
    );
    let child = descriptor("RW 2048 SPARSE \"a.vmdk\"").replace("=ffffffff", "=12345678");
    assert_eq!(
        refused(&vmdk(2048, &child), "vmdk"),
        "a vmdk image may not have a parent"
    );
    let text = descriptor("RW 2048 FLAT \"/etc/shadow\" 0");
    let words = refused(text.as_bytes(), "vmdk");
    assert!(
        words.ends_with("its content is a vmdk descriptor"),
        "{words}"
    );
}

#[test]
fn a_well_made_one_is_taken() {
    let taken = look(&qcow2(10 << 30), "qcow2").unwrap().unwrap();
    assert_eq!(taken.virtual_size_bytes, 10 << 30);
    let own = vmdk(2048, &descriptor("RW 2048 SPARSE \"a.vmdk\""));
    let taken = look(&own, "vmdk").unwrap().unwrap();
    assert_eq!(
        (taken.format, taken.virtual_size_bytes),
        (Format::Vmdk, 1 << 20)
    );
}

#[test]
fn images_are_what_they_say() {
    let raw = vec![0; 4096];
    let taken = look(&raw, "raw").unwrap().unwrap();
    assert_eq!(taken.virtual_size_bytes, 4096);
    for other in ["qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"] {
        let words = refused(&raw, other);
        assert!(words.contains("not of that format"), "{other}: {words}");
    }
    let words = refused(&qcow2_on("/etc/shadow"), "raw");
    assert_eq!(
        words,
        "the image says that it is raw, but its content is qcow2"
    );
    // Inside a disk anything may lie, and at its beginning a partition table.
    let mut disk = vec![0; 8192];
    put(&mut disk, 510, &[0x55, 0xaa]);
    put(&mut disk, 512, b"EFI PART");
    put(&mut disk, 4096, &qcow2_on("/etc/shadow")[..1024]);
    assert!(look(&disk, "raw").unwrap().is_some());
    // Nobody reads these, so nobody looks.
    assert_eq!(look(&raw, "ami").unwrap(), None);
}

#[test]
fn numbers_are_not_believed() {
    // A table of 32 GiB, in a file that is long enough for it.
    let mut huge = qcow2(1 << 20);
    put(&mut huge, 36, &u32::MAX.to_be_bytes());
    let claimed = Claimed(&huge, 1 << 46);
    assert!(inspect(&claimed, "qcow2").is_err());
    let mut short = qcow2(1 << 40);
    put(&mut short, 36, &1_u32.to_be_bytes());
    let words = refused(&short, "qcow2");
    assert!(
        words.ends_with("its first table does not fit the disk"),
        "{words}"
    );
    let mut outside = qcow2(1 << 20);
    put(&mut outside, 40, &u64::MAX.to_be_bytes());
    let words = refused(&outside, "qcow2");
    assert!(words.ends_with("its first table lies outside"), "{words}");
    let mut long = qcow2(1 << 20);
    put(&mut long, 100, &u32::MAX.to_be_bytes());
    assert!(look(&long, "qcow2").is_err());
    for (at, bytes) in [
        (32, [0, 0, 0, 1]),
        (72 + 4, [0, 0, 1, 0]),
        (20, [0, 0, 0, 60]),
    ] {
        let mut odd = qcow2(1 << 20);
        put(&mut odd, at, &bytes);
        assert!(look(&odd, "qcow2").is_err(), "byte {at}");
    }
    let text = descriptor("RW 2048 SPARSE \"a.vmdk\"");
    for (at, bytes) in [(36, u64::MAX), (28, 2), (20, u64::MAX), (12, u64::MAX)] {
        let mut odd = vmdk(2048, &text);
        put(&mut odd, at, &bytes.to_le_bytes());
        assert!(
            inspect(&Claimed(&odd, 1 << 46), "vmdk").is_err(),
            "byte {at}"
        );
    }
}

/// Places where headers of some format have something.
const PLACES: usize = 4096;

proptest! {
    #[test]
    fn bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..1024),
        len in any::<u64>(),
        format in 0..7_usize,
    ) {
        let words = ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"];
        let _ = inspect(&Claimed(&bytes, len >> 16), words[format]);
    }

    #[test]
    fn damaged_headers_never_panic(
        damage in prop::collection::vec((0..PLACES, any::<u8>()), 1..24),
        len in 0_u64..1 << 46,
        format in 0..5_usize,
    ) {
        let (mut image, word) = begun(format);
        for (at, byte) in damage {
            image[at] = byte;
        }
        if let Ok(Some(found)) = inspect(&Claimed(&image, len), word) {
            assert!((1..=store::VOLUME_BYTES_MAX).contains(&found.virtual_size_bytes));
        }
    }
}

/// The beginning of an image of a format.
fn begun(format: usize) -> (Vec<u8>, &'static str) {
    let mut image = vec![0; 256 << 10];
    let word = match format {
        0 => {
            put(&mut image, 0, &qcow2(1 << 30));
            "qcow2"
        }
        1 => {
            let text = descriptor("RW 2048 SPARSE \"a.vmdk\"");
            put(&mut image, 0, &vmdk(2048, &text));
            "vmdk"
        }
        2 => {
            put(&mut image, 64, &[0x7f, 0x10, 0xda, 0xbe, 1, 0, 1, 0]);
            "vdi"
        }
        3 => {
            put(&mut image, 0, b"conectix");
            "vhd"
        }
        _ => {
            put(&mut image, 0, b"vhdxfile");
            put(&mut image, 192 << 10, b"regi");
            "vhdx"
        }
    };
    (image, word)
}
