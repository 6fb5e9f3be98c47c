//! Error numbers on the wire. Both directions are exhaustive.

use super::constants::{
    NBD_EINVAL, NBD_EIO, NBD_ENOMEM, NBD_ENOSPC, NBD_ENOTSUP, NBD_EOVERFLOW, NBD_EPERM,
    NBD_ESHUTDOWN,
};
use crate::export::Errno;

impl Errno {
    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        match self {
            Errno::Perm => NBD_EPERM,
            Errno::Io => NBD_EIO,
            Errno::NoMem => NBD_ENOMEM,
            Errno::Inval => NBD_EINVAL,
            Errno::NoSpc => NBD_ENOSPC,
            Errno::Overflow => NBD_EOVERFLOW,
            Errno::NotSup => NBD_ENOTSUP,
            Errno::Shutdown => NBD_ESHUTDOWN,
        }
    }

    /// The meaning of a number; unexpected ones count as `NBD_EINVAL`, as the specification says.
    pub fn from_wire(number: u32) -> Self {
        match number {
            NBD_EPERM => Errno::Perm,
            NBD_EIO => Errno::Io,
            NBD_ENOMEM => Errno::NoMem,
            NBD_ENOSPC => Errno::NoSpc,
            NBD_EOVERFLOW => Errno::Overflow,
            NBD_ENOTSUP => Errno::NotSup,
            NBD_ESHUTDOWN => Errno::Shutdown,
            _ => Errno::Inval,
        }
    }
}
