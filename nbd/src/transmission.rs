//! The transmission phase as a state machine without I/O: received bytes in, replies out.
//!
//! It answers every complete request it is given. Flushes, and writes with FUA which have more
//! requests behind them, are put off until the others are answered; then one sync of the device
//! serves them all. What is already answered is sent before a sync is waited for. Long reads and
//! writes are handled in pieces; other requests are looked at when their payload is complete.

mod pieces;

use tracing::{debug, warn};

use self::pieces::Long;
use crate::ahead::Ahead;
use crate::buffer::SendBuffer;
use crate::connections::Stats;
use crate::export::{Device, DeviceError, Errno, Extent, Fua, Transfer, ZeroFlags};
use crate::handshake::Session;
use crate::proto::constants::{
    NBD_CMD_BLOCK_STATUS, NBD_CMD_CACHE, NBD_CMD_DISC, NBD_CMD_FLAG_DF, NBD_CMD_FLAG_FAST_ZERO,
    NBD_CMD_FLAG_FUA, NBD_CMD_FLAG_NO_HOLE, NBD_CMD_FLAG_REQ_ONE, NBD_CMD_FLUSH, NBD_CMD_READ,
    NBD_CMD_TRIM, NBD_CMD_WRITE, NBD_CMD_WRITE_ZEROES, NBD_REPLY_FLAG_DONE,
    NBD_REPLY_TYPE_BLOCK_STATUS,
};
use crate::proto::{
    ChunkHeader, REQUEST_LENGTH, Request, SimpleReply, encode_error_chunk, encode_status,
};

/// Bytes of a piece: pieces stay in the processor's cache on their way, and the client sends or takes
/// one while the next is handled.
const PIECE: usize = 256 << 10;
/// Replies are sent when they come to this, even if more requests wait.
const SEND_AT: usize = 256 << 10;
/// How many requests may wait for one sync.
const MAX_DEFERRED: usize = 1024;
/// How many extents one block status reply holds: 128 KiB of reply.
const MAX_EXTENTS: usize = 16 << 10;

/// What the caller is to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send the replies and come again.
    Send,
    /// Send the replies, and come again with whatever else has arrived.
    More,
    /// Send the replies, and come again with so many bytes at the front.
    Need(usize),
    /// Send the replies and close: the client said goodbye.
    Disconnect,
    /// Send the replies and close: the client broke the protocol.
    Violation(&'static str),
}

/// One connection's transmission phase.
pub(crate) struct Transmission<'a> {
    session: &'a Session,
    stats: &'a Stats,
    /// Requests which wait for the next sync.
    deferred: Vec<Request>,
    sync_due: bool,
    /// The request that is being handled in pieces.
    long: Option<Long>,
    ahead: Ahead,
}

/// What became of a request.
enum Outcome {
    /// Its reply is in the buffer.
    Replied,
    /// It succeeded, and a simple reply is due.
    Success,
    /// It waits for the next sync.
    Deferred,
}

impl<'a> Transmission<'a> {
    pub(crate) fn new(session: &'a Session, stats: &'a Stats) -> Self {
        Transmission {
            session,
            stats,
            deferred: Vec::new(),
            sync_due: false,
            long: None,
            ahead: Ahead::default(),
        }
    }

    /// Answers requests from the front of `input`; says how many bytes they were, and what next.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut SendBuffer) -> (usize, Verdict) {
        if self.sync_due {
            self.sync(out);
        }
        if !matches!(self.long, Some(Long::Write { .. })) {
            let device = self.session.opened.device.as_ref();
            self.ahead.look(input, device);
        }
        let (used, verdict) = self.answer_all(input, out);
        self.ahead.passed(used);
        (used, verdict)
    }

    fn answer_all(&mut self, input: &[u8], out: &mut SendBuffer) -> (usize, Verdict) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if let Some(long) = self.long.take() {
                let (taken, verdict) = self.go_on(long, rest, out);
                used += taken;
                match verdict {
                    Some(verdict) => return (used, verdict),
                    None => continue,
                }
            }
            let next = self.next(rest);
            let more = match &next {
                Next::Complete(request, _) => request.command != NBD_CMD_DISC,
                Next::Long(_) => true,
                Next::Need(_) | Next::Violation(_) => false,
            };
            let waiting = !self.deferred.is_empty();
            if more && out.len() >= SEND_AT
                || waiting && (!more || self.deferred.len() >= MAX_DEFERRED)
            {
                // Nothing is left to answer first, not even before a goodbye.
                self.sync_due = waiting;
                return (used, Verdict::Send);
            }
            match next {
                Next::Need(bytes) => return (used, Verdict::Need(bytes)),
                Next::Violation(what) => return (used, Verdict::Violation(what)),
                Next::Long(request) => {
                    used += REQUEST_LENGTH;
                    self.long = Some(self.begin_write(request));
                }
                Next::Complete(request, length) => {
                    if request.command == NBD_CMD_DISC {
                        return (used + length, Verdict::Disconnect);
                    }
                    let followed =
                        Request::complete(rest.get(length..).unwrap_or_default()).is_some();
                    let fua = request.flags & NBD_CMD_FLAG_FUA != 0;
                    if fua && !followed && self.deferred.is_empty() && !out.is_empty() {
                        // The device syncs within the write itself: send what is answered first.
                        return (used, Verdict::Send);
                    }
                    used += length;
                    let payload = rest.get(REQUEST_LENGTH..length).unwrap_or_default();
                    self.answer(&request, payload, followed, out);
                }
            }
        }
    }

    fn next(&self, input: &[u8]) -> Next {
        let request = match Request::decode(input) {
            None => return Next::Need(REQUEST_LENGTH),
            Some(Err(_)) => return Next::Violation("no request where one must be"),
            Some(Ok(request)) => request,
        };
        let Some(length) = request.whole_length() else {
            return Next::Violation("a write of excessive length");
        };
        if length > REQUEST_LENGTH + PIECE {
            Next::Long(request)
        } else if input.len() < length {
            Next::Need(length)
        } else {
            Next::Complete(request, length)
        }
    }

    fn answer(&mut self, request: &Request, payload: &[u8], followed: bool, out: &mut SendBuffer) {
        let start = out.len();
        match self.execute(request, payload, followed, out) {
            Ok(Outcome::Replied) => {}
            Ok(Outcome::Success) => succeed(request, out),
            Ok(Outcome::Deferred) => self.deferred.push(*request),
            Err(error) => {
                out.truncate(start);
                self.fail(request, &error, out);
            }
        }
    }

    fn execute(
        &mut self,
        request: &Request,
        payload: &[u8],
        followed: bool,
        out: &mut SendBuffer,
    ) -> Result<Outcome, DeviceError> {
        self.check(request)?;
        let device = self.session.opened.device.as_ref();
        let stats = self.stats;
        match request.command {
            NBD_CMD_FLUSH => {
                Stats::add(&stats.flushes, 1);
                Ok(Outcome::Deferred)
            }
            NBD_CMD_READ => {
                Stats::add(&stats.reads, 1);
                self.read(device, request, out)?;
                Ok(Outcome::Replied)
            }
            NBD_CMD_BLOCK_STATUS => {
                Stats::add(&stats.others, 1);
                self.block_status(device, request, out)?;
                Ok(Outcome::Replied)
            }
            NBD_CMD_CACHE => {
                Stats::add(&stats.others, 1);
                if request.length > 0 {
                    device.cache(request.offset, request.length)?;
                }
                Ok(Outcome::Success)
            }
            _ => self.change(device, request, payload, followed),
        }
    }

    fn change(
        &self,
        device: &dyn Device,
        request: &Request,
        payload: &[u8],
        followed: bool,
    ) -> Result<Outcome, DeviceError> {
        let Request {
            offset,
            length,
            flags,
            ..
        } = *request;
        // One sync at the end of the batch is cheaper than one for each request.
        let wants_fua = flags & NBD_CMD_FLAG_FUA != 0 && length > 0;
        let defer = wants_fua && (followed || !self.deferred.is_empty());
        let fua = if wants_fua && !defer {
            Fua::Yes
        } else {
            Fua::No
        };
        let stats = self.stats;
        match request.command {
            NBD_CMD_WRITE => {
                Stats::add(&stats.writes, 1);
                if length > 0 {
                    device.admit(Transfer::Write, length)?;
                    device.write(offset, payload, fua)?;
                }
                Stats::add(&stats.bytes_written, length);
            }
            NBD_CMD_TRIM => {
                Stats::add(&stats.trims, 1);
                if length > 0 {
                    device.trim(offset, length, fua)?;
                }
            }
            NBD_CMD_WRITE_ZEROES => {
                Stats::add(&stats.zeroes, 1);
                let no_hole = flags & NBD_CMD_FLAG_NO_HOLE != 0;
                let fast = flags & NBD_CMD_FLAG_FAST_ZERO != 0;
                if length > 0 {
                    device.zero(offset, length, ZeroFlags { no_hole, fast }, fua)?;
                }
            }
            _ => return Err(invalid("unknown command")),
        }
        Ok(if defer {
            Outcome::Deferred
        } else {
            Outcome::Success
        })
    }

    /// Everything that must hold before the device is asked.
    fn check(&self, request: &Request) -> Result<(), DeviceError> {
        let device = self.session.opened.device.as_ref();
        let command = request.command;
        if request.flags & !self.allowed_flags(command) != 0 {
            return Err(invalid("a flag which this command does not take"));
        }
        let changes = matches!(command, NBD_CMD_WRITE | NBD_CMD_TRIM | NBD_CMD_WRITE_ZEROES);
        if changes && device.read_only() {
            return Err(DeviceError::new(Errno::Perm, "the export is read-only"));
        }
        if command == NBD_CMD_FLUSH {
            let bare = request.offset == 0 && request.length == 0;
            return if bare {
                Ok(())
            } else {
                Err(invalid("a flush takes no range"))
            };
        }
        let ranged = matches!(command, NBD_CMD_READ | NBD_CMD_CACHE | NBD_CMD_BLOCK_STATUS);
        if !changes && !ranged {
            return Err(invalid("unknown command"));
        }
        let end = request.offset.checked_add(request.length);
        if end.is_none_or(|end| end > device.size_bytes()) {
            let writes = matches!(command, NBD_CMD_WRITE | NBD_CMD_WRITE_ZEROES);
            let errno = if writes { Errno::NoSpc } else { Errno::Inval };
            return Err(DeviceError::new(
                errno,
                "the range goes past the end of the export",
            ));
        }
        let sizes = device.block_sizes();
        if (request.offset | request.length) & u64::from(sizes.minimum.saturating_sub(1)) != 0 {
            return Err(invalid(
                "the range is not aligned to the minimum block size",
            ));
        }
        let carries = matches!(command, NBD_CMD_READ | NBD_CMD_WRITE);
        if carries && request.length > u64::from(sizes.maximum.min(crate::MAX_PAYLOAD)) {
            return Err(if command == NBD_CMD_READ && self.session.structured {
                DeviceError::new(Errno::Overflow, "the read exceeds the maximum payload")
            } else {
                invalid("the payload exceeds the maximum")
            });
        }
        self.check_status(request)
    }

    fn check_status(&self, request: &Request) -> Result<(), DeviceError> {
        if request.command != NBD_CMD_BLOCK_STATUS {
            return Ok(());
        }
        if self.session.contexts.is_empty() {
            return Err(invalid("no metadata context was negotiated"));
        }
        if request.length == 0 {
            Err(invalid("block status of nothing"))
        } else {
            Ok(())
        }
    }

    fn allowed_flags(&self, command: u16) -> u16 {
        NBD_CMD_FLAG_FUA
            | match command {
                NBD_CMD_READ if self.session.structured => NBD_CMD_FLAG_DF,
                NBD_CMD_WRITE_ZEROES => NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO,
                NBD_CMD_BLOCK_STATUS => NBD_CMD_FLAG_REQ_ONE,
                _ => 0,
            }
    }

    fn block_status(
        &self,
        device: &dyn Device,
        request: &Request,
        out: &mut SendBuffer,
    ) -> Result<(), DeviceError> {
        let one = request.flags & NBD_CMD_FLAG_REQ_ONE != 0;
        let limit = if one { 1 } else { MAX_EXTENTS };
        let found = device.status(request.offset, request.length, limit)?;
        let extents = tidy(found, request.length, limit);
        if extents.is_empty() {
            return Err(DeviceError::new(Errno::Io, "the allocation is not known"));
        }
        let contexts = &self.session.contexts;
        for (index, context) in contexts.iter().enumerate() {
            let payload = encode_status(context.id(), &extents);
            let last = index + 1 == contexts.len();
            let header = ChunkHeader {
                flags: if last { NBD_REPLY_FLAG_DONE } else { 0 },
                kind: NBD_REPLY_TYPE_BLOCK_STATUS,
                cookie: request.cookie,
                length: u32::try_from(payload.len()).expect("extents are limited in number"),
            };
            out.push(&header.encode());
            out.push(&payload);
        }
        Ok(())
    }

    /// Answers all that wait for a sync with the outcome of one.
    fn sync(&mut self, out: &mut SendBuffer) {
        self.sync_due = false;
        if self.deferred.is_empty() {
            return;
        }
        let result = self.session.opened.device.flush();
        let deferred = std::mem::take(&mut self.deferred);
        for request in &deferred {
            match &result {
                Ok(()) => succeed(request, out),
                Err(error) => self.fail(request, error, out),
            }
        }
        self.deferred = deferred;
        self.deferred.clear();
    }

    fn fail(&self, request: &Request, error: &DeviceError, out: &mut SendBuffer) {
        Stats::add(&self.stats.errors, 1);
        let Request {
            command,
            offset,
            length,
            ..
        } = *request;
        let export = self.session.opened.log_name.as_str();
        match error.errno {
            Errno::Io | Errno::NoMem | Errno::NoSpc => {
                warn!(export, command, offset, length, %error, "request failed");
            }
            Errno::Perm | Errno::Inval | Errno::Overflow | Errno::NotSup | Errno::Shutdown => {
                debug!(export, command, offset, length, %error, "request refused");
            }
        }
        if self.session.structured {
            out.push(&encode_error_chunk(
                request.cookie,
                error.errno,
                &error.message,
            ));
        } else {
            let error = error.errno.to_wire();
            out.push(
                &SimpleReply {
                    error,
                    cookie: request.cookie,
                }
                .encode(),
            );
        }
    }
}

/// What stands at the front of the input.
enum Next {
    Need(usize),
    Complete(Request, usize),
    /// A write with a long payload.
    Long(Request),
    Violation(&'static str),
}

/// A simple reply does for every success without data, also among structured ones.
fn succeed(request: &Request, out: &mut SendBuffer) {
    out.push(
        &SimpleReply {
            error: 0,
            cookie: request.cookie,
        }
        .encode(),
    );
}

fn invalid(message: &str) -> DeviceError {
    DeviceError::new(Errno::Inval, message)
}

/// Joins neighbours of one status, drops empty extents, and cuts all to the range asked for.
fn tidy(found: Vec<Extent>, length: u64, limit: usize) -> Vec<Extent> {
    let mut left = length;
    let mut extents: Vec<Extent> = Vec::new();
    for extent in found {
        let taken = extent.length.min(left);
        left -= taken;
        let full = extents.len() == limit;
        match extents.last_mut() {
            _ if taken == 0 => {}
            Some(last) if last.hole == extent.hole && last.zero == extent.zero => {
                last.length += taken;
            }
            _ if full => break,
            _ => extents.push(Extent {
                length: taken,
                ..extent
            }),
        }
    }
    extents
}

#[cfg(test)]
mod tests;
