//! A blocking client: one connection, any number of threads and of requests in flight.
//!
//! All methods take `&self`. Requests are sent by the calling thread; one thread of the client
//! takes in the replies and gives each to its caller, so that readers do not wait for one another.
//! [`Client::start_read`] and [`Client::start_write`] keep many requests in flight from a single
//! thread. No wait is without end: see [`Timeouts`]. It does not reconnect: after
//! [`Error::Disconnected`] or [`Error::TimedOut`] whoever uses it makes a new one.

mod deadline;
mod handshake;
mod replies;
mod uri;

use std::io::{self, IoSlice, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use uri::{Address, Uri};

use self::deadline::{Deadline, is_timeout};
use self::handshake::Properties;
use self::replies::{Answer, Shared, Waiting};
use crate::error::Error;
use crate::export::{BlockSizes, ExportEntry, Extent, Fua, ZeroFlags};
use crate::proto::constants::{
    NBD_CMD_BLOCK_STATUS, NBD_CMD_CACHE, NBD_CMD_DISC, NBD_CMD_FLAG_FAST_ZERO, NBD_CMD_FLAG_FUA,
    NBD_CMD_FLAG_NO_HOLE, NBD_CMD_FLUSH, NBD_CMD_READ, NBD_CMD_TRIM, NBD_CMD_WRITE,
    NBD_CMD_WRITE_ZEROES, NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_READ_ONLY, NBD_FLAG_SEND_CACHE,
    NBD_FLAG_SEND_FAST_ZERO, NBD_FLAG_SEND_FLUSH, NBD_FLAG_SEND_FUA, NBD_FLAG_SEND_TRIM,
    NBD_FLAG_SEND_WRITE_ZEROES,
};
use crate::proto::{REQUEST_LENGTH, Request};

/// Ranges of requests without a payload are cut into pieces of this size.
const RANGE_PIECE: u64 = 1 << 30;

/// How long a client waits for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection and the whole handshake.
    pub handshake: Duration,
    /// For the answer to a request, from the moment it is made.
    pub request: Duration,
}

impl Default for Timeouts {
    /// Requests may wait for a server's disks, which may be slow and busy; two minutes are more than
    /// the kernel grants a disk of its own.
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(120),
        }
    }
}

/// A connection to an export.
pub struct Client {
    shared: Arc<Shared>,
    properties: Properties,
    /// For one request.
    limit: Duration,
    /// Held while a request is sent, so that requests do not mingle.
    sending: Mutex<()>,
    reader: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects to the export a URI names: `nbd://HOST[:PORT]/EXPORT` or
    /// `nbd+unix:///EXPORT?socket=PATH`.
    pub fn connect(uri: &str) -> Result<Client, Error> {
        Client::open(&uri.parse()?)
    }

    /// Connects to an export.
    pub fn open(uri: &Uri) -> Result<Client, Error> {
        Client::open_with(uri, Timeouts::default())
    }

    /// As [`Client::open`], with other limits.
    pub fn open_with(uri: &Uri, timeouts: Timeouts) -> Result<Client, Error> {
        let (socket, properties) = within(timeouts.handshake, |deadline| {
            let timed = handshake::connect(&uri.address, deadline)?;
            let properties = handshake::go(&timed, &uri.export)?;
            Ok((timed.socket, properties))
        })?;
        // Replies may be long in coming where nothing was asked for.
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(Deadline::after(timeouts.request).left())?;
        let shared = Arc::new(Shared::new(socket));
        let (theirs, structured, context) = (
            Arc::clone(&shared),
            properties.structured,
            properties.allocation,
        );
        let reader = thread::Builder::new()
            .name("nbd replies".to_owned())
            .spawn(move || replies::run(&theirs, structured, context))?;
        Ok(Client {
            shared,
            properties,
            limit: timeouts.request,
            sending: Mutex::new(()),
            reader: Some(reader),
        })
    }

    /// Lists a server's exports.
    pub fn list(address: &Address) -> Result<Vec<ExportEntry>, Error> {
        within(Timeouts::default().handshake, |deadline| {
            handshake::list(&handshake::connect(address, deadline)?)
        })
    }

    /// The export's size.
    pub fn size_bytes(&self) -> u64 {
        self.properties.size_bytes
    }

    /// Whether changes are refused.
    pub fn read_only(&self) -> bool {
        self.has(NBD_FLAG_READ_ONLY)
    }

    /// The export's block size constraints.
    pub fn block_sizes(&self) -> BlockSizes {
        self.properties.block_sizes
    }

    /// The server's text for people.
    pub fn description(&self) -> &str {
        &self.properties.description
    }

    /// Whether several connections see one another's writes and flushes.
    pub fn can_multi_conn(&self) -> bool {
        self.has(NBD_FLAG_CAN_MULTI_CONN)
    }

    /// Whether [`Client::block_status`] knows more than "data everywhere".
    pub fn knows_allocation(&self) -> bool {
        self.properties.allocation.is_some()
    }

    /// Fills `buffer` from `offset`.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let mut at = offset;
        for piece in buffer.chunks_mut(self.piece()) {
            let data = self.start_read(at, vec![0; piece.len()])?.wait()?;
            piece.copy_from_slice(&data);
            at += data.len() as u64;
        }
        Ok(())
    }

    /// Writes `data` at `offset`.
    pub fn write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<(), Error> {
        let mut at = offset;
        for piece in data.chunks(self.piece()) {
            self.start_write(at, piece, fua)?.wait()?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Makes stable all that was answered before.
    pub fn flush(&self) -> Result<(), Error> {
        if !self.has(NBD_FLAG_SEND_FLUSH) {
            return Ok(());
        }
        self.plain("flush", NBD_CMD_FLUSH, 0, 0, 0).map(drop)
    }

    /// Gives a range back.
    pub fn trim(&self, offset: u64, length: u64, fua: Fua) -> Result<(), Error> {
        if !self.has(NBD_FLAG_SEND_TRIM) {
            return Err(Error::Usage("the export does not take trims"));
        }
        self.ranges("trim", NBD_CMD_TRIM, self.fua_flag(fua)?, offset, length)
    }

    /// Makes a range read as zeroes.
    pub fn zero(&self, offset: u64, length: u64, flags: ZeroFlags, fua: Fua) -> Result<(), Error> {
        if !self.has(NBD_FLAG_SEND_WRITE_ZEROES) {
            return Err(Error::Usage("the export does not take zeroing"));
        }
        if flags.fast && !self.has(NBD_FLAG_SEND_FAST_ZERO) {
            return Err(Error::Usage("the export does not know fast zeroing"));
        }
        let mut wire = self.fua_flag(fua)?;
        wire |= if flags.no_hole {
            NBD_CMD_FLAG_NO_HOLE
        } else {
            0
        };
        wire |= if flags.fast {
            NBD_CMD_FLAG_FAST_ZERO
        } else {
            0
        };
        self.ranges("zero", NBD_CMD_WRITE_ZEROES, wire, offset, length)
    }

    /// Advises that a range will be read soon; nothing happens where servers do not take advice.
    pub fn cache(&self, offset: u64, length: u64) -> Result<(), Error> {
        if !self.has(NBD_FLAG_SEND_CACHE) {
            return Ok(());
        }
        self.ranges("cache", NBD_CMD_CACHE, 0, offset, length)
    }

    /// The allocation of a range, from its start on and without gaps. It may cover less than was
    /// asked for, but never nothing; ask again from where it ends. Without `base:allocation` all
    /// is said to be data.
    pub fn block_status(&self, offset: u64, length: u64) -> Result<Vec<Extent>, Error> {
        if length == 0 {
            return Ok(Vec::new());
        }
        if !self.knows_allocation() {
            return Ok(vec![Extent {
                length,
                hole: false,
                zero: false,
            }]);
        }
        let asked = length.min(RANGE_PIECE);
        let request = request(NBD_CMD_BLOCK_STATUS, 0, offset, asked);
        let pending = self.send("block status", request, Answer::Extents(Vec::new()), &[])?;
        let Answer::Extents(mut extents) = pending.answer()? else {
            return Err(Error::Protocol("block status yields no extents"));
        };
        // The last extent may tell of more than was asked.
        let mut left = asked;
        extents.retain_mut(|extent| {
            extent.length = extent.length.min(left);
            left -= extent.length;
            extent.length > 0
        });
        if extents.is_empty() {
            return Err(Error::Protocol("block status yields no extents"));
        }
        Ok(extents)
    }

    /// Starts to fill `buffer` from `offset`. It must be no longer than one request may be.
    pub fn start_read(&self, offset: u64, buffer: Vec<u8>) -> Result<Pending, Error> {
        let request = self.payload_request(NBD_CMD_READ, 0, offset, buffer.len())?;
        self.send("read", request, Answer::Data(buffer), &[])
    }

    /// Sends `data`, to be written at `offset`; returns once it is sent. It must be no longer than
    /// one request may be.
    pub fn start_write(&self, offset: u64, data: &[u8], fua: Fua) -> Result<Pending, Error> {
        let flags = self.fua_flag(fua)?;
        let request = self.payload_request(NBD_CMD_WRITE, flags, offset, data.len())?;
        self.send("write", request, Answer::Done, data)
    }

    /// The longest payload of one request.
    pub fn max_payload(&self) -> usize {
        self.piece()
    }

    fn has(&self, flag: u16) -> bool {
        self.properties.flags & flag != 0
    }

    fn piece(&self) -> usize {
        let sizes = self.properties.block_sizes;
        let maximum = sizes.maximum.min(crate::MAX_PAYLOAD);
        (maximum - maximum % sizes.minimum) as usize
    }

    fn fua_flag(&self, fua: Fua) -> Result<u16, Error> {
        match fua {
            Fua::No => Ok(0),
            Fua::Yes if self.has(NBD_FLAG_SEND_FUA) => Ok(NBD_CMD_FLAG_FUA),
            Fua::Yes => Err(Error::Usage("the export does not know FUA")),
        }
    }

    fn payload_request(
        &self,
        command: u16,
        flags: u16,
        offset: u64,
        length: usize,
    ) -> Result<Request, Error> {
        if length == 0 || length > self.piece() {
            return Err(Error::Usage(
                "one request takes between one byte and max_payload()",
            ));
        }
        Ok(request(command, flags, offset, length as u64))
    }

    fn ranges(
        &self,
        operation: &'static str,
        command: u16,
        flags: u16,
        offset: u64,
        length: u64,
    ) -> Result<(), Error> {
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(RANGE_PIECE);
            self.plain(
                operation,
                command,
                flags,
                offset.saturating_add(done),
                piece,
            )?;
            done += piece;
        }
        Ok(())
    }

    fn plain(
        &self,
        operation: &'static str,
        command: u16,
        flags: u16,
        offset: u64,
        length: u64,
    ) -> Result<Answer, Error> {
        let request = request(command, flags, offset, length);
        self.send(operation, request, Answer::Done, &[])?.answer()
    }

    fn send(
        &self,
        operation: &'static str,
        mut request: Request,
        answer: Answer,
        payload: &[u8],
    ) -> Result<Pending, Error> {
        let (to, reply) = mpsc::sync_channel(1);
        let offset = request.offset;
        let waiting = Waiting {
            operation,
            offset,
            answer,
            covered: 0,
            failure: None,
            to,
        };
        let deadline = Deadline::after(self.limit);
        request.cookie = self.shared.register(waiting, deadline)?;
        let header = request
            .encode()
            .ok_or(Error::Usage("a range beyond 4 GiB"))?;
        if let Err(error) = self.transmit(&header, payload) {
            // Half a request may be on the wire: nothing can follow it.
            self.shared.end(&error.to_string());
            if is_timeout(&error) {
                return Err(deadline.passed(operation));
            }
        }
        Ok(Pending {
            reply,
            shared: Arc::clone(&self.shared),
            operation,
            deadline,
        })
    }

    fn transmit(&self, header: &[u8; REQUEST_LENGTH], payload: &[u8]) -> io::Result<()> {
        let _sending = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut parts = [IoSlice::new(header), IoSlice::new(payload)];
        let mut parts = parts.as_mut_slice();
        while parts.iter().any(|part| !part.is_empty()) {
            match (&mut &self.shared.socket).write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => IoSlice::advance_slices(&mut parts, sent),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Client {
    /// Says goodbye. Requests not waited for may be lost.
    fn drop(&mut self) {
        if let Some(goodbye) = request(NBD_CMD_DISC, 0, 0, 0).encode() {
            // A server which is gone already needs no goodbye.
            let _ = self.transmit(&goodbye, &[]);
        }
        self.shared.end("the client is closed");
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

/// A request in flight.
#[must_use = "an unanswered request may have failed"]
pub struct Pending {
    reply: Receiver<Result<Answer, Error>>,
    shared: Arc<Shared>,
    operation: &'static str,
    deadline: Deadline,
}

impl Pending {
    /// Waits for the reply; a read's buffer, filled, and an empty one for writes.
    pub fn wait(self) -> Result<Vec<u8>, Error> {
        match self.answer()? {
            Answer::Data(data) => Ok(data),
            Answer::Done | Answer::Extents(_) => Ok(Vec::new()),
        }
    }

    fn answer(self) -> Result<Answer, Error> {
        let left = self.deadline.left().unwrap_or_default();
        match self.reply.recv_timeout(left) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                let error = self.deadline.passed(self.operation);
                self.shared.end(&error.to_string());
                Err(error)
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::Disconnected("the request was lost".to_owned()))
            }
        }
    }
}

/// Runs a handshake which must be over in time.
fn within<T>(limit: Duration, work: impl FnOnce(Deadline) -> Result<T, Error>) -> Result<T, Error> {
    let deadline = Deadline::after(limit);
    work(deadline).map_err(|error| deadline.judge("the handshake", error))
}

fn request(command: u16, flags: u16, offset: u64, length: u64) -> Request {
    Request {
        flags,
        command,
        cookie: 0,
        offset,
        length,
    }
}
