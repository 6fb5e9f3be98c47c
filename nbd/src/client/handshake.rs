//! The client's side of the handshake: from a fresh socket to an export's properties.

use std::io::{self, Read, Write};
use std::net::ToSocketAddrs;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use super::deadline::{Deadline, Timed};
use super::uri::Address;
use crate::error::Error;
use crate::export::{BlockSizes, ExportEntry};
use crate::proto::constants::{
    NBD_FLAG_C_FIXED_NEWSTYLE, NBD_FLAG_C_NO_ZEROES, NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES,
    NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION, NBD_REP_ERR_UNKNOWN,
};
use crate::proto::{
    GREETING_LENGTH, InfoRequest, MAX_OPTION_LENGTH, MetaRequest, OPTION_REPLY_HEADER_LENGTH,
    OptionReply, OptionReplyHeader, OptionRequest, decode_greeting,
};

/// How long a silent server is trusted before the kernel asks whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// How many replies one option may have: long listings, and an end to endless ones.
const MAX_REPLIES: usize = 100_000;
/// Their bytes together; a listing of all that our own server lists is far smaller.
const MAX_REPLY_BYTES: usize = 64 << 20;
/// The specification's limit for the minimum block size.
const MINIMUM_MAX: u32 = 64 << 10;
const BASE_ALLOCATION: &str = "base:allocation";

/// What the server told of an export.
#[derive(Clone, Debug, Default)]
pub(crate) struct Properties {
    pub(crate) size_bytes: u64,
    pub(crate) flags: u16,
    pub(crate) block_sizes: BlockSizes,
    pub(crate) description: String,
    pub(crate) structured: bool,
    /// The number of `base:allocation`, if it was negotiated.
    pub(crate) allocation: Option<u32>,
}

/// Connects and greets.
pub(crate) fn connect(address: &Address, deadline: Deadline) -> Result<Timed, Error> {
    let failed = |source| Error::Connect {
        address: address.to_string(),
        source,
    };
    let socket = match address {
        Address::Unix(path) => unix(path, deadline),
        Address::Tcp { host, port } => tcp(host, *port, deadline),
    }
    .map_err(failed)?;
    let timed = Timed { socket, deadline };
    let mut greeting = [0; GREETING_LENGTH];
    (&timed).read_exact(&mut greeting)?;
    let flags = decode_greeting(&greeting).ok_or(Error::Protocol("no newstyle greeting"))?;
    if flags & NBD_FLAG_FIXED_NEWSTYLE == 0 {
        return Err(Error::Protocol("the server does not speak fixed newstyle"));
    }
    let mut answer = NBD_FLAG_C_FIXED_NEWSTYLE;
    if flags & NBD_FLAG_NO_ZEROES != 0 {
        answer |= NBD_FLAG_C_NO_ZEROES;
    }
    (&timed).write_all(&answer.to_be_bytes())?;
    Ok(timed)
}

fn unix(path: &std::path::Path, deadline: Deadline) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A server that takes no connections lets them queue, and then the kernel waits for a place.
    socket.set_write_timeout(deadline.left())?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn tcp(host: &str, port: u16, deadline: Deadline) -> io::Result<Socket> {
    let mut failure = None;
    for address in (host, port).to_socket_addrs()? {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        let left = deadline.left().ok_or(io::ErrorKind::TimedOut)?;
        match socket.connect_timeout(&address.into(), left) {
            Ok(()) => {
                socket.set_tcp_nodelay(true)?;
                socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
                return Ok(socket);
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

/// Enters the transmission phase with an export.
pub(crate) fn go(socket: &Timed, export: &str) -> Result<Properties, Error> {
    let structured = accepted(ask(socket, &OptionRequest::StructuredReply, |_| {}))?;
    let mut properties = Properties {
        structured,
        ..Properties::default()
    };
    if structured {
        let queries = vec![BASE_ALLOCATION.to_owned()];
        let request = MetaRequest {
            name: export.to_owned(),
            queries,
        };
        // Whatever is wrong here is said better by the answer to GO.
        accepted(ask(
            socket,
            &OptionRequest::SetMetaContext(request),
            |reply| {
                if let OptionReply::MetaContext { id, name } = reply
                    && name == BASE_ALLOCATION
                {
                    properties.allocation = Some(id);
                }
            },
        ))?;
    }
    let infos = vec![NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION];
    let request = InfoRequest {
        name: export.to_owned(),
        infos,
    };
    let mut told = false;
    ask(socket, &OptionRequest::Go(request), |reply| match reply {
        OptionReply::Export { size_bytes, flags } => {
            (properties.size_bytes, properties.flags, told) = (size_bytes, flags, true);
        }
        OptionReply::BlockSize(sizes) => properties.block_sizes = sizes,
        OptionReply::Description(text) => properties.description = text,
        OptionReply::Ack
        | OptionReply::Server { .. }
        | OptionReply::Name(_)
        | OptionReply::MetaContext { .. }
        | OptionReply::Error { .. }
        | OptionReply::Other(_) => {}
    })?;
    if !told {
        return Err(Error::Protocol(
            "the server does not tell the export's size",
        ));
    }
    let sizes = properties.block_sizes;
    if !sizes.minimum.is_power_of_two()
        || sizes.minimum > MINIMUM_MAX
        || sizes.maximum < sizes.minimum
    {
        return Err(Error::Protocol("the block sizes make no sense"));
    }
    Ok(properties)
}

/// Lists exports and leaves.
pub(crate) fn list(socket: &Timed) -> Result<Vec<ExportEntry>, Error> {
    let mut entries = Vec::new();
    ask(socket, &OptionRequest::List, |reply| {
        if let OptionReply::Server { name, description } = reply {
            entries.push(ExportEntry { name, description });
        }
    })?;
    // Servers may close without an answer.
    let _ = ask(socket, &OptionRequest::Abort, |_| {});
    Ok(entries)
}

/// Whether an option was accepted; a refusal is an answer as well.
fn accepted(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends an option and hands out its replies up to the final one.
fn ask(
    socket: &Timed,
    request: &OptionRequest,
    mut on_reply: impl FnMut(OptionReply),
) -> Result<(), Error> {
    (&mut &*socket).write_all(&request.encode())?;
    let mut room = MAX_REPLY_BYTES;
    for _ in 0..MAX_REPLIES {
        let mut header = [0; OPTION_REPLY_HEADER_LENGTH];
        (&mut &*socket).read_exact(&mut header)?;
        let header = OptionReplyHeader::decode(&header)
            .filter(|header| header.option == request.number())
            .ok_or(Error::Protocol("a reply to an option that was not sent"))?;
        let length = header.length as usize;
        if length > MAX_OPTION_LENGTH.min(room) {
            return Err(Error::Protocol("an option reply of excessive length"));
        }
        room -= length;
        let mut payload = vec![0; length];
        (&mut &*socket).read_exact(&mut payload)?;
        match OptionReply::decode(header.kind, &payload) {
            None => return Err(Error::Protocol("a malformed option reply")),
            Some(OptionReply::Ack) => return Ok(()),
            Some(OptionReply::Error { code, text }) => return Err(refused(code, text)),
            Some(reply) => on_reply(reply),
        }
    }
    Err(Error::Protocol("endless replies to an option"))
}

fn refused(code: u32, text: String) -> Error {
    let text = match text.as_str() {
        "" if code == NBD_REP_ERR_UNKNOWN => "no such export".to_owned(),
        "" => format!("it gives no reason (code {code:#x})"),
        _ => text,
    };
    Error::Refused { code, text }
}
