//! The crate's error: what can go wrong for whoever starts a server or uses the client.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::export::DeviceError;

/// A failure to listen, to connect, or of a request.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address or socket path.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Another server answers on this socket.
    #[error("{0} is in use by another server")]
    SocketInUse(PathBuf),
    /// Something that is no socket has the path.
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    /// A URI that names no export in a way known here. It is not repeated: its path may be all
    /// that guards the export.
    #[error("not an NBD URI: {0}")]
    Uri(&'static str),
    /// The server could not be reached.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address or socket path.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The server does not give out the export, or not in this way.
    #[error("the server refuses the export: {text}")]
    Refused {
        /// `NBD_REP_ERR_*`.
        code: u32,
        /// Its words, or ours where it had none.
        text: String,
    },
    /// The server answered a request with an error.
    #[error("{operation} at {offset}: {source}")]
    Request {
        /// What was asked for.
        operation: &'static str,
        /// Where.
        offset: u64,
        /// What the server said.
        source: DeviceError,
    },
    /// The request is impossible on this connection, and was not sent.
    #[error("{0}")]
    Usage(&'static str),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// The connection ended, and the requests on it are lost.
    #[error("the connection ended: {0}")]
    Disconnected(String),
    /// The server did not answer in time. The connection is of no more use: an answer that comes
    /// after all would be taken for another's.
    #[error("the server does not answer: {operation} took longer than {limit:?}")]
    TimedOut {
        /// What was waited for.
        operation: &'static str,
        /// For how long.
        limit: Duration,
    },
    /// The socket failed.
    #[error("socket")]
    Socket(#[from] io::Error),
}
