//! The thread which takes in replies and gives each to whoever waits for it.
//!
//! It alone reads from the socket, so a client that sends much before it collects anything cannot
//! lock up with a server that does the same. Data goes straight into the buffer of its request.

use std::collections::HashMap;
use std::io::{self, Read};
use std::net::Shutdown;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use socket2::Socket;

use super::deadline::Deadline;
use crate::buffer::ReceiveBuffer;
use crate::error::Error;
use crate::export::{DeviceError, Errno, Extent};
use crate::proto::constants::{
    NBD_REPLY_TYPE_BLOCK_STATUS, NBD_REPLY_TYPE_NONE, NBD_REPLY_TYPE_OFFSET_DATA,
    NBD_REPLY_TYPE_OFFSET_HOLE,
};
use crate::proto::{
    CHUNK_HEADER_LENGTH, ChunkHeader, DecodedReply, ReplyHeader, SIMPLE_REPLY_LENGTH, SimpleReply,
    decode_error, decode_reply, decode_status,
};

/// Requests sent and not yet answered, on one connection.
const MAX_IN_FLIGHT: usize = 1024;
/// Room for many small replies; the data of large ones goes past this buffer.
const RECEIVE_BYTES: usize = 64 << 10;
/// An error chunk: its text may have 4096 bytes, and fields may follow.
const MAX_ERROR_CHUNK: usize = 8 << 10;
/// A block status chunk: no server should send more than 2^20 extents.
const MAX_STATUS_CHUNK: usize = 4 + (8 << 20);

/// What a request yields.
pub(crate) enum Answer {
    /// Nothing but success.
    Done,
    /// The data read.
    Data(Vec<u8>),
    /// The extents of the context asked for.
    Extents(Vec<Extent>),
}

/// A request which waits for its reply.
pub(crate) struct Waiting {
    pub(crate) operation: &'static str,
    pub(crate) offset: u64,
    pub(crate) answer: Answer,
    /// Bytes of data which have come, holes included.
    pub(crate) covered: usize,
    pub(crate) failure: Option<DeviceError>,
    pub(crate) to: SyncSender<Result<Answer, Error>>,
}

impl Waiting {
    fn finish(self) {
        let Waiting {
            operation, offset, ..
        } = self;
        let result = match (self.failure, self.answer) {
            (Some(source), _) => Err(Error::Request {
                operation,
                offset,
                source,
            }),
            (None, Answer::Data(data)) if self.covered != data.len() => {
                Err(Error::Protocol("a reply lacks a part of its data"))
            }
            (None, answer) => Ok(answer),
        };
        // Whoever asked may have lost interest.
        let _ = self.to.try_send(result);
    }
}

/// What senders and the reader share.
pub(crate) struct Shared {
    pub(crate) socket: Socket,
    state: Mutex<State>,
    /// Signalled when a request was answered, and when the connection ends.
    room: Condvar,
}

#[derive(Default)]
struct State {
    next_cookie: u64,
    in_flight: usize,
    waiting: HashMap<u64, Waiting>,
    ended: Option<String>,
}

impl Shared {
    pub(crate) fn new(socket: Socket) -> Self {
        Shared {
            socket,
            state: Mutex::default(),
            room: Condvar::new(),
        }
    }

    /// Registers a request, once there is room for it; its cookie.
    pub(crate) fn register(&self, waiting: Waiting, deadline: Deadline) -> Result<u64, Error> {
        let mut state = self.lock();
        loop {
            if let Some(why) = &state.ended {
                return Err(Error::Disconnected(why.clone()));
            }
            if state.in_flight < MAX_IN_FLIGHT {
                break;
            }
            let Some(left) = deadline.left() else {
                drop(state);
                let error = deadline.passed(waiting.operation);
                self.end(&error.to_string());
                return Err(error);
            };
            let waited = self.room.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let cookie = state.next_cookie;
        state.next_cookie = cookie.wrapping_add(1);
        state.in_flight += 1;
        state.waiting.insert(cookie, waiting);
        Ok(cookie)
    }

    /// Ends the connection and tells all who wait.
    pub(crate) fn end(&self, why: &str) {
        let mut state = self.lock();
        let why = state.ended.get_or_insert_with(|| why.to_owned()).clone();
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.to.try_send(Err(Error::Disconnected(why.clone())));
        }
        // A peer which is gone already leaves nothing to shut down.
        let _ = self.socket.shutdown(Shutdown::Both);
        self.room.notify_all();
    }

    fn take(&self, cookie: u64) -> Result<Waiting, Error> {
        let taken = self.lock().waiting.remove(&cookie);
        taken.ok_or(Error::Protocol("a reply to a request that was not sent"))
    }

    fn settle(&self, cookie: u64, waiting: Waiting, done: bool) {
        let mut state = self.lock();
        if !done && state.ended.is_none() {
            state.waiting.insert(cookie, waiting);
            return;
        }
        state.in_flight -= 1;
        let ended = state.ended.clone();
        drop(state);
        match ended {
            Some(why) if !done => {
                let _ = waiting.to.try_send(Err(Error::Disconnected(why)));
            }
            _ => waiting.finish(),
        }
        self.room.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic while holding it, so poison carries no news.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes in replies until the connection ends.
pub(crate) fn run(shared: &Arc<Shared>, structured: bool, context: Option<u32>) {
    let mut reader = Reader {
        shared,
        structured,
        context,
        received: ReceiveBuffer::new(RECEIVE_BYTES),
    };
    let why = loop {
        match reader.next() {
            Ok(()) => {}
            Err(Error::Socket(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                break "the server closed it".to_owned();
            }
            Err(error @ Error::Socket(_)) => break chain(&error),
            Err(error) => break error.to_string(),
        }
    };
    shared.end(&why);
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    structured: bool,
    context: Option<u32>,
    received: ReceiveBuffer,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<(), Error> {
        loop {
            match decode_reply(self.received.filled()) {
                DecodedReply::Need(bytes) => self.fill(bytes)?,
                DecodedReply::Bad => return Err(Error::Protocol("no reply where one must be")),
                DecodedReply::Header(ReplyHeader::Simple(reply)) => {
                    self.received.consume(SIMPLE_REPLY_LENGTH);
                    return self.simple(reply);
                }
                DecodedReply::Header(ReplyHeader::Chunk(header)) => {
                    self.received.consume(CHUNK_HEADER_LENGTH);
                    return self.chunk(header);
                }
            }
        }
    }

    fn simple(&mut self, reply: SimpleReply) -> Result<(), Error> {
        let mut waiting = self.shared.take(reply.cookie)?;
        let result = self.simple_body(&mut waiting, reply);
        self.give_back(reply.cookie, waiting, true, result)
    }

    fn simple_body(&mut self, waiting: &mut Waiting, reply: SimpleReply) -> Result<(), Error> {
        if reply.error != 0 {
            let errno = Errno::from_wire(reply.error);
            waiting.failure = Some(DeviceError::new(errno, "the server gives no reason"));
            return Ok(());
        }
        match &mut waiting.answer {
            Answer::Done => Ok(()),
            Answer::Data(data) if !self.structured => {
                self.received
                    .read_exact_into(&mut &self.shared.socket, data)?;
                waiting.covered = data.len();
                Ok(())
            }
            Answer::Data(_) | Answer::Extents(_) => Err(Error::Protocol(
                "a simple reply where a structured one must be",
            )),
        }
    }

    fn chunk(&mut self, header: ChunkHeader) -> Result<(), Error> {
        if !self.structured {
            return Err(Error::Protocol(
                "a structured reply that was not negotiated",
            ));
        }
        let mut waiting = self.shared.take(header.cookie)?;
        let result = self.chunk_body(&mut waiting, header);
        self.give_back(header.cookie, waiting, header.is_done(), result)
    }

    fn chunk_body(&mut self, waiting: &mut Waiting, header: ChunkHeader) -> Result<(), Error> {
        let length = header.length as usize;
        if header.is_error() {
            let payload = self.payload(length, MAX_ERROR_CHUNK)?;
            let (error, text) =
                decode_error(&payload).ok_or(Error::Protocol("a malformed error chunk"))?;
            let failure = DeviceError::new(Errno::from_wire(error), text);
            waiting.failure.get_or_insert(failure);
            return Ok(());
        }
        match (header.kind, &mut waiting.answer) {
            (NBD_REPLY_TYPE_NONE, _) if length == 0 && header.is_done() => Ok(()),
            (NBD_REPLY_TYPE_OFFSET_DATA, Answer::Data(data)) if length > 8 => {
                let offset = self.be_u64()?;
                let target = within(data, waiting.offset, offset, length - 8)?;
                waiting.covered += target.len();
                self.received
                    .read_exact_into(&mut &self.shared.socket, target)?;
                Ok(())
            }
            (NBD_REPLY_TYPE_OFFSET_HOLE, Answer::Data(data)) if length == 12 => {
                let offset = self.be_u64()?;
                let size = self.payload(4, 4)?;
                let size = size
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                let target = within(data, waiting.offset, offset, size)?;
                waiting.covered += target.len();
                target.fill(0);
                Ok(())
            }
            (NBD_REPLY_TYPE_BLOCK_STATUS, Answer::Extents(found)) => {
                let payload = self.payload(length, MAX_STATUS_CHUNK)?;
                let (context, extents) =
                    decode_status(&payload).ok_or(Error::Protocol("a malformed block status"))?;
                if Some(context) == self.context {
                    *found = extents;
                }
                Ok(())
            }
            _ => Err(Error::Protocol("a chunk which does not fit the request")),
        }
    }

    fn give_back(
        &self,
        cookie: u64,
        waiting: Waiting,
        done: bool,
        result: Result<(), Error>,
    ) -> Result<(), Error> {
        if let Err(error) = result {
            let _ = waiting.to.try_send(Err(Error::Disconnected(chain(&error))));
            return Err(error);
        }
        self.shared.settle(cookie, waiting, done);
        Ok(())
    }

    fn be_u64(&mut self) -> Result<u64, Error> {
        let bytes = self.payload(8, 8)?;
        Ok(bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn payload(&mut self, length: usize, limit: usize) -> Result<Vec<u8>, Error> {
        if length > limit {
            return Err(Error::Protocol("a chunk of excessive length"));
        }
        let mut bytes = vec![0; length];
        self.received
            .read_exact_into(&mut &self.shared.socket, &mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, need: usize) -> Result<(), Error> {
        match self.received.receive(&mut &self.shared.socket, need) {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The part of a request's buffer which a chunk is about.
fn within(data: &mut [u8], start: u64, offset: u64, length: usize) -> Result<&mut [u8], Error> {
    let outside = Error::Protocol("a chunk outside of its request");
    let Some(from) = offset
        .checked_sub(start)
        .and_then(|from| usize::try_from(from).ok())
    else {
        return Err(outside);
    };
    let to = from.checked_add(length);
    to.and_then(|to| data.get_mut(from..to))
        .filter(|part| !part.is_empty())
        .ok_or(outside)
}

impl ReceiveBuffer {
    /// Fills `target` from what was received, and then from the socket itself.
    fn read_exact_into(&mut self, from: &mut impl Read, target: &mut [u8]) -> io::Result<()> {
        let here = self.filled().len().min(target.len());
        let (head, tail) = target.split_at_mut(here);
        head.copy_from_slice(&self.filled()[..here]);
        self.consume(here);
        from.read_exact(tail)
    }
}
