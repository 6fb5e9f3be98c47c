//! Names of things, as types that cannot be swapped by mistake.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id! {
    /// A writable disk.
    VolumeId
}
uuid_id! {
    /// A frozen, read-only state of a volume.
    SnapshotId
}
uuid_id! {
    /// The scope within which equal chunks are shared: a project, or the whole pool.
    DomainId
}
