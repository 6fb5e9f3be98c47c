//! Reads, and what is handled in pieces: long writes, and long reads of clients who take structured
//! replies.
//!
//! A long write is given to the device as it arrives. Its client may go away in the middle, and then a
//! part of it has happened, as with a disk that loses power. One that is refused is received to its end,
//! so that the stream stays in step.

use std::time::Instant;

use super::{PIECE, Transmission, Verdict, invalid, succeed};
use crate::buffer::SendBuffer;
use crate::connections::Stats;
use crate::export::{Device, DeviceError, Fua, Transfer};
use crate::proto::constants::{
    NBD_CMD_FLAG_DF, NBD_CMD_FLAG_FUA, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE,
    NBD_REPLY_TYPE_OFFSET_DATA,
};
use crate::proto::{CHUNK_HEADER_LENGTH, ChunkHeader, Request, SimpleReply};

/// Pieces of writes end at multiples of this on the device: the rest of a block would have to be
/// written twice.
const BLOCK: u64 = 4096;
/// Bytes of a write that are given to the device at once. In between the connection takes in what the
/// client has sent meanwhile, so that it can go on.
pub(super) const WRITE_PIECE: usize = 128 << 10;
/// Less of a payload is waited for rather than written.
const LEAST: usize = 64 << 10;

/// A request that is being handled in pieces.
pub(super) enum Long {
    Read {
        request: Request,
        done: u64,
    },
    Write {
        request: Request,
        done: u64,
        refused: Option<DeviceError>,
    },
}

impl Transmission<'_> {
    /// Handles a piece; says how much of the input that took, and what next if not the next request.
    pub(super) fn go_on(
        &mut self,
        long: Long,
        input: &[u8],
        out: &mut SendBuffer,
    ) -> (usize, Option<Verdict>) {
        match long {
            Long::Read { request, done } => (0, self.read_piece(request, done, out)),
            Long::Write {
                request,
                done,
                refused,
            } => self.write_piece(request, done, refused, input, out),
        }
    }

    /// Looks at a write whose payload is yet to come.
    pub(super) fn begin_write(&mut self, request: Request) -> Long {
        let device = self.session.opened.device.as_ref();
        let mut refused = self.check(&request).err();
        if refused.is_none() {
            Stats::add(&self.stats.writes, 1);
            refused = device.admit(Transfer::Write, request.length).err();
        }
        Long::Write {
            request,
            done: 0,
            refused,
        }
    }

    fn write_piece(
        &mut self,
        request: Request,
        done: u64,
        mut refused: Option<DeviceError>,
        input: &[u8],
        out: &mut SendBuffer,
    ) -> (usize, Option<Verdict>) {
        let left = usize::try_from(request.length - done).unwrap_or(usize::MAX);
        let arrived = input.len().min(WRITE_PIECE);
        if arrived < left.min(LEAST) {
            let verdict = self.interrupt(request, done, refused);
            return (0, Some(verdict.unwrap_or(Verdict::Need(left.min(LEAST)))));
        }
        let piece = &input[..piece_len(request.offset + done, arrived, left)];
        if refused.is_none() {
            let device = self.session.opened.device.as_ref();
            let written = device.write(request.offset + done, piece, Fua::No);
            refused = written.err();
        }
        let done = done + piece.len() as u64;
        if done < request.length {
            let verdict = self.interrupt(request, done, refused);
            return (piece.len(), Some(verdict.unwrap_or(Verdict::More)));
        }
        self.end_write(&request, refused, out);
        (piece.len(), None)
    }

    /// Puts a write aside to take in more of what is sent. Who waits for a sync does not wait for that:
    /// there may be no end of it.
    fn interrupt(
        &mut self,
        request: Request,
        done: u64,
        refused: Option<DeviceError>,
    ) -> Option<Verdict> {
        self.long = Some(Long::Write {
            request,
            done,
            refused,
        });
        self.sync_due = !self.deferred.is_empty();
        self.sync_due.then_some(Verdict::Send)
    }

    fn end_write(&mut self, request: &Request, refused: Option<DeviceError>, out: &mut SendBuffer) {
        if let Some(error) = refused {
            self.fail(request, &error, out);
            return;
        }
        Stats::add(&self.stats.bytes_written, request.length);
        if request.flags & NBD_CMD_FLAG_FUA != 0 {
            self.deferred.push(*request);
        } else {
            succeed(request, out);
        }
    }

    /// Reads straight into the reply, or begins to do so in pieces.
    pub(super) fn read(
        &mut self,
        device: &dyn Device,
        request: &Request,
        out: &mut SendBuffer,
    ) -> Result<(), DeviceError> {
        let length = usize::try_from(request.length)
            .map_err(|_| invalid("the payload exceeds the maximum"))?;
        let cookie = request.cookie;
        if length > 0 {
            device.admit(Transfer::Read, request.length)?;
        }
        if !self.session.structured {
            out.push(&SimpleReply { error: 0, cookie }.encode());
        } else if length == 0 {
            out.push(&chunk(cookie, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_NONE, 0));
        } else if length > PIECE && request.flags & NBD_CMD_FLAG_DF == 0 {
            self.long = Some(Long::Read {
                request: *request,
                done: 0,
            });
            return Ok(());
        } else {
            push_data_header(request, 0, length, out);
        }
        if length > 0 {
            self.read_into(device, request.offset, out.extend(length))?;
        }
        Ok(())
    }

    fn read_piece(&mut self, request: Request, done: u64, out: &mut SendBuffer) -> Option<Verdict> {
        let device = self.session.opened.device.as_ref();
        let left = request.length - done;
        if done == 0 && self.ahead.is_slow() {
            // An advice: the read itself tells what is wrong.
            let _ = device.cache(request.offset, left);
        }
        let length = left.min(PIECE as u64);
        let start = out.len();
        push_data_header(&request, done, length as usize, out);
        let slot = out.extend(length as usize);
        if let Err(error) = self.read_into(device, request.offset + done, slot) {
            out.truncate(start);
            self.fail(&request, &error, out);
            return None;
        }
        if length == left {
            return None;
        }
        self.long = Some(Long::Read {
            request,
            done: done + length,
        });
        Some(Verdict::Send)
    }

    fn read_into(
        &mut self,
        device: &dyn Device,
        offset: u64,
        slot: &mut [u8],
    ) -> Result<(), DeviceError> {
        let (begin, length) = (Instant::now(), slot.len() as u64);
        device.read(offset, slot)?;
        let took = begin.elapsed();
        self.ahead.note(length, took, device.disk_reads());
        Stats::add(&self.stats.bytes_read, length);
        Ok(())
    }
}

/// How much of a payload to write now: all that is left, or whole blocks.
fn piece_len(offset: u64, arrived: usize, left: usize) -> usize {
    if arrived >= left {
        return left;
    }
    let end = offset + arrived as u64;
    arrived - (end % BLOCK) as usize
}

/// The header of a chunk of data, which ends the reply if nothing is left behind it.
fn push_data_header(request: &Request, done: u64, length: usize, out: &mut SendBuffer) {
    let ends = done + length as u64 == request.length;
    let flags = if ends { NBD_REPLY_FLAG_DONE } else { 0 };
    let chunk_length = u32::try_from(length + 8).expect("reads are 32 MiB at most");
    let kind = NBD_REPLY_TYPE_OFFSET_DATA;
    out.push(&chunk(request.cookie, flags, kind, chunk_length));
    out.push(&(request.offset + done).to_be_bytes());
}

fn chunk(cookie: u64, flags: u16, kind: u16, length: u32) -> [u8; CHUNK_HEADER_LENGTH] {
    let header = ChunkHeader {
        flags,
        kind,
        cookie,
        length,
    };
    header.encode()
}
