//! Making chosen operations of a simulated disk fail.

use std::io;

use rustix::io::Errno;

/// Kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Reading a file.
    Read,
    /// Writing a file.
    Write,
    /// Changing a file's length.
    SetLen,
    /// Allocating blocks.
    Allocate,
    /// Giving blocks back.
    Punch,
    /// Making a file durable.
    SyncData,
    /// Creating a file or folder.
    Create,
    /// Removing a file.
    Remove,
    /// Renaming a file.
    Rename,
    /// Making names durable.
    SyncDir,
}

/// What happens instead of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It fails with EIO. A failed sync also loses what it should have saved, whatever later syncs
    /// say, as Linux does.
    Eio,
    /// It fails with ENOSPC.
    NoSpace,
    /// A write transfers the first half of its bytes, then fails with EIO; others just fail.
    ShortWrite,
    /// A sync succeeds without making anything durable, a read gives a wrong bit; others succeed as
    /// usual.
    Lie,
    /// It takes three seconds by the disk's clock, and goes well.
    Slow,
}

/// Operations that go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind it strikes; `None` is any but reads.
    pub on: Option<OpKind>,
    /// How many of them still go well.
    pub skip: u64,
    /// How many it strikes after those.
    pub times: u64,
    /// What happens to them.
    pub effect: Effect,
}

impl Fault {
    /// Strikes the operation of this kind that comes after `skip` good ones, once.
    pub fn once(on: Option<OpKind>, skip: u64, effect: Effect) -> Self {
        Self {
            on,
            skip,
            times: 1,
            effect,
        }
    }

    /// Strikes every operation of this kind from now on.
    pub fn always(on: Option<OpKind>, effect: Effect) -> Self {
        Self {
            on,
            skip: 0,
            times: u64::MAX,
            effect,
        }
    }

    fn matches(&self, kind: OpKind) -> bool {
        self.on.map_or(kind != OpKind::Read, |on| on == kind)
    }

    fn strikes(&mut self) -> bool {
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let strikes = self.times > 0;
        self.times = self.times.saturating_sub(1);
        strikes
    }
}

/// What strikes the next operation of `kind`; every fault counts it.
pub(super) fn strike(faults: &mut [Fault], kind: OpKind) -> Option<Effect> {
    let matching = faults.iter_mut().filter(|fault| fault.matches(kind));
    let striking: Vec<Effect> = matching
        .filter_map(|fault| fault.strikes().then_some(fault.effect))
        .collect();
    striking.first().copied()
}

/// The system's "input/output error".
pub(super) fn eio() -> io::Error {
    Errno::IO.into()
}

/// The system's "no space left on device".
pub(super) fn no_space() -> io::Error {
    Errno::NOSPC.into()
}
