//! The formats, and what the Image service and `qemu-img` call them.

/// A format of image files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The disk's bytes.
    Raw,
    /// An optical disc, which is its own bytes too.
    Iso,
    /// QEMU's, version 2 or 3.
    Qcow2,
    /// VMware's, in one file.
    Vmdk,
    /// VirtualBox's.
    Vdi,
    /// Microsoft's older one.
    Vhd,
    /// Microsoft's newer one.
    Vhdx,
}

impl Format {
    /// The format that an image's `disk_format` stands for; others are not looked at.
    pub fn of_disk_format(word: &str) -> Option<Self> {
        Some(match word {
            "raw" => Self::Raw,
            "iso" => Self::Iso,
            "qcow2" => Self::Qcow2,
            "vmdk" => Self::Vmdk,
            "vdi" => Self::Vdi,
            "vhd" => Self::Vhd,
            "vhdx" => Self::Vhdx,
            _ => return None,
        })
    }

    /// The word of a `disk_format`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Iso => "iso",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhd => "vhd",
            Self::Vhdx => "vhdx",
        }
    }

    /// Whether the file's bytes are the disk's.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Raw | Self::Iso)
    }

    /// `qemu-img`'s driver.
    pub(super) fn driver(self) -> &'static str {
        match self {
            Self::Raw | Self::Iso => "raw",
            Self::Vhd => "vpc",
            Self::Qcow2 | Self::Vmdk | Self::Vdi | Self::Vhdx => self.name(),
        }
    }
}
