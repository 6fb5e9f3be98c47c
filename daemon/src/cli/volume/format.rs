//! Image formats: which one a file is said to have, and what must not be in it.
//!
//! A guest can write any header to the start of its own disk, so a file is never taken for something
//! else than its name or its user says: where the content disagrees, the user is asked. Images that
//! refer to other files are refused, because converting them would read those.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::cli::Exit;

/// An image format by `qemu-img`'s name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The bytes of the disk, sparse or not
    Raw,
    /// QEMU
    Qcow2,
    /// QEMU, before qcow2
    Qcow,
    /// QEMU, a discontinued one
    Qed,
    /// VMware
    Vmdk,
    /// VirtualBox
    Vdi,
    /// Hyper-V, VHD
    Vpc,
    /// Hyper-V, VHDX
    Vhdx,
    /// Parallels
    Parallels,
}

impl Format {
    /// The name `qemu-img` knows it by.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Qcow => "qcow",
            Self::Qed => "qed",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vpc => "vpc",
            Self::Vhdx => "vhdx",
            Self::Parallels => "parallels",
        }
    }

    /// Whether images of it may have a backing file.
    pub(super) fn has_backing(self) -> bool {
        matches!(self, Self::Qcow2 | Self::Qcow | Self::Qed | Self::Vmdk)
    }

    /// What a file's extension says, if it says something.
    pub(super) fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "qcow2" => Self::Qcow2,
            "qcow" => Self::Qcow,
            "qed" => Self::Qed,
            "vmdk" => Self::Vmdk,
            "vdi" => Self::Vdi,
            "vhd" | "vpc" => Self::Vpc,
            "vhdx" => Self::Vhdx,
            "hds" | "hdd" => Self::Parallels,
            _ => return None,
        })
    }

    /// What a file's first bytes look like.
    fn of_content(head: &[u8]) -> Self {
        let at =
            |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
        if at(0, b"QFI\xfb") {
            return if at(4, &[0, 0, 0, 1]) {
                Self::Qcow
            } else {
                Self::Qcow2
            };
        }
        let magics: [(usize, &[u8], Self); 8] = [
            (0, b"QED\0", Self::Qed),
            (0, b"KDMV", Self::Vmdk),
            (0, b"# Disk DescriptorFile", Self::Vmdk),
            (0x40, &[0x7f, 0x10, 0xda, 0xbe], Self::Vdi),
            (0, b"conectix", Self::Vpc),
            (0, b"vhdxfile", Self::Vhdx),
            (0, b"WithoutFreeSpace", Self::Parallels),
            (0, b"WithouFreSpacExt", Self::Parallels),
        ];
        let found = magics.iter().find(|(offset, magic, _)| at(*offset, magic));
        found.map_or(Self::Raw, |(_, _, format)| *format)
    }
}

/// First bytes of a file that are looked at.
const HEAD_BYTES: usize = 512;

/// The format to read `file` with: what the user says, else what its name says; an error if its
/// content disagrees, or refers to other files.
pub(super) fn decide(path: &Path, file: &File, said: Option<Format>) -> Result<Format> {
    let head = head(file).with_context(|| path.display().to_string())?;
    let name = path.display();
    let looks = Format::of_content(&head);
    let format = match (said, Format::of_name(path)) {
        (Some(format), _) => format,
        (None, Some(format)) => format,
        (None, None) if looks == Format::Raw => Format::Raw,
        (None, None) => {
            let looks = looks.name();
            return Err(Exit::Usage.because(format!(
                "{name} starts like a {looks} image: say --format {looks} or --format raw"
            )));
        }
    };
    // A fixed VHD has its magic at the end.
    if format != Format::Raw && format != Format::Vpc && looks != format {
        let format = format.name();
        return Err(Exit::Usage.because(format!("{name} is not a {format} image")));
    }
    refuse_references(format, &head)
        .map_err(|why| Exit::Refused.because(format!("{name} {why}")))?;
    Ok(format)
}

fn head(file: &File) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// Header version from which qcow2 has feature bits.
const QCOW2_WITH_FEATURES: u32 = 3;
/// Incompatible feature of qcow2: the data is in another file.
const QCOW2_EXTERNAL_DATA: u64 = 1 << 2;
/// Feature of QED: there is a backing file.
const QED_BACKING: u64 = 1;

fn refuse_references(format: Format, head: &[u8]) -> Result<(), &'static str> {
    let bytes = |at: usize, count: usize| head.get(at..at + count).ok_or("is cut short");
    let be = |at, count| -> Result<u64, &'static str> {
        let bytes = bytes(at, count)?.iter();
        Ok(bytes.fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    match format {
        Format::Qcow2 => {
            if be(8, 8)? != 0 {
                return Err("has a backing file: flatten it first");
            }
            if be(32, 4)? != 0 {
                return Err("is encrypted");
            }
            let version = be(4, 4)?;
            if version >= u64::from(QCOW2_WITH_FEATURES) && be(72, 8)? & QCOW2_EXTERNAL_DATA != 0 {
                return Err("keeps its data in another file");
            }
        }
        Format::Qcow if be(8, 8)? != 0 => return Err("has a backing file: flatten it first"),
        Format::Qed => {
            let features = bytes(16, 8)?.iter().rev();
            let features = features.fold(0_u64, |sum, b| sum << 8 | u64::from(*b));
            if features & QED_BACKING != 0 {
                return Err("has a backing file: flatten it first");
            }
        }
        Format::Vmdk if head.starts_with(b"#") => {
            return Err("only describes other files: convert it to one file first");
        }
        Format::Raw
        | Format::Qcow
        | Format::Vmdk
        | Format::Vdi
        | Format::Vpc
        | Format::Vhdx
        | Format::Parallels => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::{Format, decide};
    use crate::cli::Exit;

    fn qcow2(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut head = vec![0; 104];
        head[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        change(&mut head);
        head
    }

    struct Files(TempDir);

    impl Files {
        fn decide(
            &self,
            name: &str,
            content: &[u8],
            said: Option<Format>,
        ) -> Result<Format, (Exit, String)> {
            let path: PathBuf = self.0.path().join(name);
            fs::write(&path, content).unwrap();
            decide(&path, &File::open(&path).unwrap(), said)
                .map_err(|error| (Exit::of(&error), error.to_string()))
        }
    }

    #[test]
    fn the_name_or_the_user_decides_and_the_content_may_veto() {
        let files = Files(TempDir::new().unwrap());
        let image = qcow2(|_| {});
        assert_eq!(files.decide("a.img", b"x", None), Ok(Format::Raw));
        assert_eq!(files.decide("a.img", b"", None), Ok(Format::Raw));
        assert_eq!(files.decide("a.qcow2", &image, None), Ok(Format::Qcow2));
        let raw = Some(Format::Raw);
        assert_eq!(files.decide("a.qcow2", &image, raw), Ok(Format::Raw));
        let (exit, text) = files.decide("a.raw", &image, None).unwrap_err();
        assert!(
            exit == Exit::Usage && text.contains("--format qcow2"),
            "{text}"
        );
        let (exit, _) = files.decide("a.qcow2", b"x", None).unwrap_err();
        assert_eq!(exit, Exit::Usage);
    }

    #[test]
    fn references_to_other_files_are_refused() {
        let files = Files(TempDir::new().unwrap());
        let refused = |head: Vec<u8>, word: &str| {
            let (exit, text) = files.decide("a.qcow2", &head, None).unwrap_err();
            assert!(exit == Exit::Refused && text.contains(word), "{text}");
        };
        refused(qcow2(|head| head[15] = 1), "backing");
        refused(qcow2(|head| head[35] = 2), "encrypted");
        refused(qcow2(|head| head[79] = 4), "another file");
        refused(b"QFI\xfb\0\0\0\x03\0".to_vec(), "cut short");
        let (_, text) = files
            .decide("a.vmdk", b"# Disk DescriptorFile\n", None)
            .unwrap_err();
        assert!(text.contains("other files"), "{text}");
    }
}
