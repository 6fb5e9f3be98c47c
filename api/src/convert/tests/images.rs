//! Images made by hand, byte by byte, and by `qemu-img`.

use std::path::Path;
use std::process::Command;

/// Writes a number into a header.
pub(super) fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A qcow2 of version 3 with 64 KiB clusters: a header and an empty first table.
pub(super) fn qcow2(size: u64) -> Vec<u8> {
    let mut image = vec![0; 3 << 16];
    put(&mut image, 0, b"QFI\xfb");
    put(&mut image, 4, &3_u32.to_be_bytes());
    put(&mut image, 20, &16_u32.to_be_bytes());
    put(&mut image, 24, &size.to_be_bytes());
    let entries = u32::try_from(size.div_ceil(512 << 20)).unwrap();
    put(&mut image, 36, &entries.to_be_bytes());
    put(&mut image, 40, &(1_u64 << 16).to_be_bytes());
    put(&mut image, 48, &(2_u64 << 16).to_be_bytes());
    put(&mut image, 56, &1_u32.to_be_bytes());
    put(&mut image, 96, &4_u32.to_be_bytes());
    put(&mut image, 100, &104_u32.to_be_bytes());
    image
}

/// The same with a backing file.
pub(super) fn qcow2_on(backing: &str) -> Vec<u8> {
    let mut image = qcow2(1 << 20);
    put(&mut image, 8, &512_u64.to_be_bytes());
    put(&mut image, 16, &(backing.len() as u32).to_be_bytes());
    put(&mut image, 512, backing.as_bytes());
    image
}

/// The same with its data in another file.
pub(super) fn qcow2_beside(data: &str) -> Vec<u8> {
    let mut image = qcow2(1 << 20);
    put(&mut image, 72, &4_u64.to_be_bytes());
    put(&mut image, 104, &0x4441_5441_u32.to_be_bytes());
    put(&mut image, 108, &(data.len() as u32).to_be_bytes());
    put(&mut image, 112, data.as_bytes());
    image
}

/// A sparse vmdk of 2048 sectors with this descriptor.
pub(super) fn vmdk(capacity: u64, descriptor: &str) -> Vec<u8> {
    let mut image = vec![0; 64 << 10];
    put(&mut image, 0, b"KDMV");
    put(&mut image, 4, &1_u32.to_le_bytes());
    put(&mut image, 12, &capacity.to_le_bytes());
    put(&mut image, 20, &128_u64.to_le_bytes());
    put(&mut image, 28, &1_u64.to_le_bytes());
    put(&mut image, 36, &20_u64.to_le_bytes());
    put(&mut image, 44, &512_u32.to_le_bytes());
    put(&mut image, 512, descriptor.as_bytes());
    image
}

/// A descriptor with these lines of extents.
pub(super) fn descriptor(extents: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n\
         createType=\"monolithicSparse\"\n\n{extents}\n"
    )
}

/// An image of a format that `qemu-img` made of a raw file, with options of it.
pub(super) fn made(dir: &Path, raw: &Path, driver: &str, options: &[&str]) -> Vec<u8> {
    let out = dir.join(format!("made.{driver}"));
    let status = Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", driver])
        .args(options)
        .args([raw, &out])
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(out).unwrap()
}
