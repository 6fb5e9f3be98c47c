//! What a message can be about: its codes and their texts, as the real service has them.

/// The kind of object that an operation failed on.
#[allow(
    dead_code,
    reason = "the table is whole; each job uses what it can fail with"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cinder) enum Resource {
    Volume,
    Snapshot,
    Backup,
}

impl Resource {
    /// The word in answers and event ids.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Volume => "VOLUME",
            Self::Snapshot => "VOLUME_SNAPSHOT",
            Self::Backup => "VOLUME_BACKUP",
        }
    }
}

/// Makes an enum of codes and texts.
macro_rules! coded {
    ($(#[$doc:meta])+ $name:ident { $($variant:ident = $code:literal, $text:literal;)+ }) => {
        $(#[$doc])+
        #[allow(dead_code, reason = "the table is whole; each job uses what it can fail with")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::cinder) enum $name {
            $(#[doc = $text] $variant,)+
        }

        impl $name {
            /// The code in event ids.
            pub(super) fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// The text of a code.
            pub(super) fn text_of(code: &str) -> Option<&'static str> {
                match code {
                    $($code => Some($text),)+
                    _ => None,
                }
            }
        }
    };
}

coded! {
    /// What was being done.
    Action {
        ScheduleVolume = "001", "schedule allocate volume";
        CopyVolumeToImage = "003", "copy volume to image";
        CopyImageToVolume = "005", "copy image to volume";
        UnmanageVolume = "006", "unmanage volume";
        ExtendVolume = "007", "extend volume";
        CreateVolume = "008", "create volume from backend storage";
        CreateSnapshot = "009", "create snapshot";
        DeleteSnapshot = "010", "delete snapshot";
        CreateBackup = "013", "create backup";
        DeleteBackup = "014", "delete backup";
        RestoreBackup = "015", "restore backup";
        ReimageVolume = "016", "reimage volume";
        // The real service tells nobody of these; far from its codes, so that they stay free.
        DeleteVolume = "901", "delete volume";
        MigrateVolume = "902", "migrate volume";
        RetypeVolume = "903", "retype volume";
        RevertVolume = "904", "revert volume to snapshot";
        ManageVolume = "905", "manage volume";
        ManageSnapshot = "906", "manage snapshot";
    }
}

coded! {
    /// What went wrong.
    Detail {
        Unknown = "001", "An unknown error occurred.";
        NoBackend = "003", "Could not find any available weighted backend.";
        UploadFailed = "004", "Failed to upload volume to image at backend.";
        OverQuota = "006", "Not enough quota resource for operation.";
        ImageTooBig = "007", "Image used for creating volume exceeds available space.";
        UnmanageEncrypted = "008", "Unmanaging encrypted volumes is not supported.";
        ExtendFailed = "010", "Volume Driver failed to extend volume.";
        CreateFailed = "012", "Driver failed to create the volume.";
        SnapshotFailed = "013", "Snapshot failed to create.";
        SnapshotBusy = "015", "Snapshot is busy.";
        SnapshotDeletion = "016", "Snapshot failed to delete.";
        BackupState = "017", "Backup status is invalid.";
        BackupFailed = "020", "Backup driver failed to create backup.";
        BackupDeletion = "025", "Backup driver failed to delete backup.";
        RestoreFailed = "026", "Backup driver failed to restore backup.";
        VolumeState = "027", "Volume status is invalid.";
        VolumeDeletion = "901", "Volume failed to delete.";
        MoveFailed = "902", "Volume failed to move to another backend.";
        VolumeInUse = "903", "A volume in use cannot move to another backend.";
        RevertFailed = "904", "Volume failed to revert to the snapshot.";
        NotFoundOnBackend = "905", "The object to be managed was not found on the backend.";
        ImageFormat = "029",
            "The image disk format must be the same as the volume format for the volume type you are requesting.";
    }
}
