//! Handles of simulated files.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::content::ContentChange;
use super::fault::{Effect, OpKind};
use super::lock;
use super::state::{State, fail_if_struck};
use crate::disk::{BLOCK_BYTES, Caching, File, check_aligned};

/// One handle; its path is the one it was opened by.
pub(super) struct SimFile {
    state: Arc<Mutex<State>>,
    path: Arc<Path>,
    file: u64,
    handle: u64,
    caching: Caching,
}

impl SimFile {
    /// A new handle of `file`. The caller holds the lock on `locked`, the state in `state`, so that
    /// nobody removes the file meanwhile.
    pub(super) fn new(
        state: &Arc<Mutex<State>>,
        locked: &mut State,
        path: Arc<Path>,
        file: u64,
        caching: Caching,
    ) -> Self {
        Self {
            state: Arc::clone(state),
            path,
            file,
            handle: locked.add_handle(file),
            caching,
        }
    }

    fn change(&self, kind: OpKind, change: ContentChange) -> io::Result<()> {
        lock(&self.state).change_content(kind, &self.path, self.file, change)
    }
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check_aligned(self.caching, buffer, offset)?;
        if buffer.is_empty() {
            return Ok(()); // nothing to read is never beyond the end
        }
        let mut state = lock(&self.state);
        let struck = state.strike(OpKind::Read);
        fail_if_struck(struck)?;
        let behind = match self.caching {
            Caching::Direct => state.behind_the_cache(self.file),
            Caching::Buffered => None,
        };
        let content = behind.as_ref().or_else(|| state.content(self.file));
        let content = content.ok_or(io::ErrorKind::NotFound)?;
        if offset + buffer.len() as u64 > content.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.read(buffer, offset);
        if let (Some(Effect::Lie), Some(byte)) = (struck, buffer.first_mut()) {
            *byte ^= 1;
        }
        Ok(())
    }

    /// Every other block counts as cached, and what is cached neither fails nor lies.
    fn read_cached_at(&self, buffers: &mut [io::IoSliceMut<'_>], offset: u64) -> bool {
        let len: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        let end = offset + len as u64;
        let state = lock(&self.state);
        let cached = (offset / BLOCK_BYTES as u64 + self.file).is_multiple_of(2);
        let content = state.content(self.file).filter(|it| it.len() >= end);
        let found = content.filter(|_| cached && self.caching == Caching::Buffered);
        let Some(content) = found else { return false };
        let mut at = offset;
        for buffer in buffers {
            content.read(buffer, at);
            at += buffer.len() as u64;
        }
        true
    }

    fn will_read(&self, _offset: u64, _len: u64) {
        lock(&self.state).advices += 1;
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        check_aligned(self.caching, data, offset)?;
        if data.is_empty() {
            return Ok(());
        }
        let data = Arc::from(data);
        self.change(OpKind::Write, ContentChange::Write { offset, data })
    }

    fn sync_data(&self) -> io::Result<()> {
        lock(&self.state).sync_data(&self.path, self.file)
    }

    fn forget_cached(&self) {
        lock(&self.state).forget_cached(self.file);
    }

    fn len(&self) -> io::Result<u64> {
        let state = lock(&self.state);
        let content = state.content(self.file).ok_or(io::ErrorKind::NotFound)?;
        Ok(content.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(OpKind::SetLen, ContentChange::SetLen(len))
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        self.change(OpKind::Allocate, ContentChange::Allocate { offset, len })
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        // A hole's blocks behind the end would make no difference and need no record.
        let len = len.min(self.len()?.saturating_sub(offset));
        self.change(OpKind::Punch, ContentChange::Punch { offset, len })
    }

    fn lock(&self) -> io::Result<()> {
        lock(&self.state).lock(self.file, self.handle)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        lock(&self.state).drop_handle(self.file, self.handle);
    }
}
