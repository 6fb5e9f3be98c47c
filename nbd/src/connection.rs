//! One connection's thread: it moves bytes between the socket and the two state machines.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use crate::buffer::{ReceiveBuffer, SendBuffer};
use crate::connections::{Connection, Connections};
use crate::export::Exports;
use crate::handshake::{Handshake, Session, Step};
use crate::proto::{MAX_OPTION_LENGTH, OPTION_HEADER_LENGTH};
use crate::transmission::{Transmission, Verdict};
use crate::wait::Patient;

/// Room for many small requests, and for what a client sends on while a piece of its long write is
/// written: it can then make its next request meanwhile.
const RECEIVE_BYTES: usize = 2 << 20;

/// Why a connection came to its end.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client said goodbye")]
    Goodbye,
    #[error("the client hung up")]
    HungUp,
    #[error("the export was withdrawn")]
    Withdrawn,
    #[error("the server is stopping")]
    Stopping,
    #[error("the handshake took too long")]
    HandshakeTimeout,
    #[error("{0}")]
    Broken(&'static str),
    #[error("socket: {0}")]
    Socket(#[from] io::Error),
}

/// Serves a client from the greeting to the end.
pub(crate) fn serve(
    connection: &Connection,
    connections: &Connections,
    exports: &dyn Exports,
    handshake_timeout: Duration,
) {
    let mut received = ReceiveBuffer::new(RECEIVE_BYTES);
    let deadline = Instant::now() + handshake_timeout;
    let session = match shake_hands(connection, exports, &mut received, deadline) {
        Ok(session) => session,
        Err(end) => {
            debug!(connection = connection.id, peer = %connection.peer, %end, "handshake ended");
            return;
        }
    };
    let export = session.opened.log_name.clone();
    let token = session.opened.stop.clone();
    let Some(binding) = token.bind(connection.socket.clone()) else {
        debug!(
            connection = connection.id,
            export, "export withdrawn during the handshake"
        );
        return;
    };
    // `stop` treats connections with an export gently; whoever it met before this is gone already.
    let _ = connection.export.set(export.clone());
    info!(connection = connection.id, peer = %connection.peer, export, "connected");
    let mut end = transmit(connection, connections, &session, &mut received);
    if token.is_stopped() {
        end = End::Withdrawn;
    } else if connections.is_stopping() {
        end = End::Stopping;
        flush_at_stop(connection, &session);
    }
    let operations = connection.stats.reads.load(Ordering::Relaxed)
        + connection.stats.writes.load(Ordering::Relaxed);
    // Whoever withdraws the export waits for the binding, and then finds nothing of it open.
    drop(session);
    drop(binding);
    info!(connection = connection.id, export, operations, %end, "disconnected");
}

fn shake_hands(
    connection: &Connection,
    exports: &dyn Exports,
    received: &mut ReceiveBuffer,
    deadline: Instant,
) -> Result<Box<Session>, End> {
    let socket = connection.socket.as_ref();
    let mut out = Vec::new();
    let mut handshake = Handshake::new(exports, &connection.peer, &mut out);
    loop {
        let (used, step) = handshake.step(received.filled(), &mut out);
        received.consume(used);
        if !out.is_empty() {
            socket.set_write_timeout(Some(left(deadline)?))?;
            (&mut &*socket).write_all(&out).map_err(timed_out)?;
            out.clear();
        }
        match step {
            Step::Answered => {}
            Step::More => {
                socket.set_read_timeout(Some(left(deadline)?))?;
                let need = OPTION_HEADER_LENGTH + MAX_OPTION_LENGTH;
                if receive(received, &mut &*socket, need).map_err(timed_out)? == 0 {
                    return Err(End::HungUp);
                }
            }
            Step::Ready(session) => {
                socket.set_read_timeout(None)?;
                socket.set_write_timeout(None)?;
                return Ok(session);
            }
            Step::Close(why) => return Err(End::Broken(why)),
        }
    }
}

fn transmit(
    connection: &Connection,
    connections: &Connections,
    session: &Session,
    received: &mut ReceiveBuffer,
) -> End {
    let socket = connection.socket.as_ref();
    let mut transmission = Transmission::new(session, &connection.stats);
    let mut out = SendBuffer::default();
    let mut patient = Patient::new(socket);
    loop {
        let (used, verdict) = transmission.step(received.filled(), &mut out);
        received.consume(used);
        if !out.is_empty() {
            if let Err(error) = (&mut &*socket).write_all(out.filled()) {
                return End::Socket(error);
            }
            out.clear();
        }
        match verdict {
            Verdict::Send => {}
            Verdict::More if connections.is_stopping() => {}
            Verdict::More => {
                if let Err(error) = received.take_in(socket) {
                    return End::Socket(error);
                }
            }
            Verdict::Need(_) if connections.is_stopping() => return End::Stopping,
            Verdict::Need(bytes) => match receive(received, &mut patient, bytes) {
                Ok(0) => return End::HungUp,
                Ok(_) => {}
                Err(error) => return End::Socket(error),
            },
            Verdict::Disconnect => return End::Goodbye,
            Verdict::Violation(what) => return End::Broken(what),
        }
    }
}

/// What was answered and not flushed is kept over an orderly stop as well.
fn flush_at_stop(connection: &Connection, session: &Session) {
    let device = session.opened.device.as_ref();
    if device.read_only() {
        return;
    }
    if let Err(error) = device.flush() {
        let export = session.opened.log_name.as_str();
        warn!(connection = connection.id, export, %error, "flush at the stop failed");
    }
}

fn receive(received: &mut ReceiveBuffer, from: &mut impl Read, need: usize) -> io::Result<usize> {
    loop {
        match received.receive(from, need) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn left(deadline: Instant) -> Result<Duration, End> {
    deadline
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
        .ok_or(End::HandshakeTimeout)
}

fn timed_out(error: io::Error) -> End {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => End::HandshakeTimeout,
        _ => End::Socket(error),
    }
}
