//! The handshake as a state machine without I/O: bytes in, replies and at last a session out.
//!
//! ```text
//! greeting -> client flags -> option* -> GO or EXPORT_NAME -> Session
//!                                    \-> ABORT, violation, too many options -> closed
//! ```
//!
//! Options are answered one by one. `INFO` and the meta context options open the export and drop
//! it again, so that nobody learns of an export more than opening it would tell.

use crate::export::{Device, ExportEntry, Exports, OpenError, Opened, Principal};
use crate::proto::constants::{
    NBD_FLAG_C_FIXED_NEWSTYLE, NBD_FLAG_C_NO_ZEROES, NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_HAS_FLAGS,
    NBD_FLAG_READ_ONLY, NBD_FLAG_SEND_CACHE, NBD_FLAG_SEND_DF, NBD_FLAG_SEND_FAST_ZERO,
    NBD_FLAG_SEND_FLUSH, NBD_FLAG_SEND_FUA, NBD_FLAG_SEND_TRIM, NBD_FLAG_SEND_WRITE_ZEROES,
    NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION, NBD_INFO_NAME, NBD_OPT_GO, NBD_OPT_INFO,
    NBD_REP_ERR_INVALID, NBD_REP_ERR_POLICY, NBD_REP_ERR_SHUTDOWN, NBD_REP_ERR_TOO_BIG,
    NBD_REP_ERR_UNKNOWN, NBD_REP_ERR_UNSUP,
};
use crate::proto::{
    BadOption, InfoRequest, MAX_OPTION_LENGTH, MetaRequest, OPTION_HEADER_LENGTH, OptionHeader,
    OptionReply, OptionRequest, cut, encode_export, encode_greeting,
};

/// How many options one client may send: far more than any client needs, and few enough that
/// haggling ends.
const MAX_OPTIONS: u32 = 512;
/// How many exports a listing shows.
const MAX_LISTED: usize = 10_000;
/// The longest name or description sent to a client.
const MAX_TEXT: usize = 4096;
const BASE_ALLOCATION: &str = "base:allocation";

/// What a client may ask block status about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaContext {
    /// `base:allocation`.
    BaseAllocation,
}

impl MetaContext {
    /// Its number on the wire.
    pub(crate) fn id(self) -> u32 {
        match self {
            MetaContext::BaseAllocation => 1,
        }
    }
}

/// What the handshake agreed upon.
pub(crate) struct Session {
    pub(crate) opened: Opened,
    pub(crate) structured: bool,
    pub(crate) contexts: Vec<MetaContext>,
}

/// Where the handshake stands after a step.
pub(crate) enum Step {
    /// It needs more bytes than it was given.
    More,
    /// An option was answered.
    Answered,
    /// The transmission phase begins.
    Ready(Box<Session>),
    /// The connection ends after what was answered.
    Close(&'static str),
}

enum Phase {
    ClientFlags,
    Options,
}

/// One client's handshake.
pub(crate) struct Handshake<'a> {
    exports: &'a dyn Exports,
    principal: &'a Principal,
    phase: Phase,
    no_zeroes: bool,
    structured: bool,
    /// The contexts selected last, and the export's name they were selected for.
    selected: Option<(String, Vec<MetaContext>)>,
    options_left: u32,
}

impl<'a> Handshake<'a> {
    /// Begins with the greeting.
    pub(crate) fn new(
        exports: &'a dyn Exports,
        principal: &'a Principal,
        out: &mut Vec<u8>,
    ) -> Self {
        out.extend_from_slice(&encode_greeting());
        Handshake {
            exports,
            principal,
            phase: Phase::ClientFlags,
            no_zeroes: false,
            structured: false,
            selected: None,
            options_left: MAX_OPTIONS,
        }
    }

    /// Takes the next item from the front of `input`, and says how many bytes it was.
    pub(crate) fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        match self.phase {
            Phase::ClientFlags => match input.first_chunk() {
                Some(flags) => (4, self.client_flags(u32::from_be_bytes(*flags))),
                None => (0, Step::More),
            },
            Phase::Options => self.next_option(input, out),
        }
    }

    fn client_flags(&mut self, flags: u32) -> Step {
        // Clients which do not know of fixed newstyle are served too: they send EXPORT_NAME only.
        if flags & !(NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES) != 0 {
            return Step::Close("unknown client flags");
        }
        self.no_zeroes = flags & NBD_FLAG_C_NO_ZEROES != 0;
        self.phase = Phase::Options;
        Step::Answered
    }

    fn next_option(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Step) {
        let header = match OptionHeader::decode(input) {
            None => return (0, Step::More),
            Some(Err(_)) => return (0, Step::Close("no option where one must be")),
            Some(Ok(header)) => header,
        };
        let length = header.length as usize;
        if length > MAX_OPTION_LENGTH {
            refuse(
                out,
                header.option,
                NBD_REP_ERR_TOO_BIG,
                "the option is too long",
            );
            return (0, Step::Close("an option of excessive length"));
        }
        let end = OPTION_HEADER_LENGTH + length;
        let Some(payload) = input.get(OPTION_HEADER_LENGTH..end) else {
            return (0, Step::More);
        };
        if self.options_left == 0 {
            refuse(out, header.option, NBD_REP_ERR_POLICY, "too many options");
            return (end, Step::Close("too many options"));
        }
        self.options_left -= 1;
        (end, self.answer(header.option, payload, out))
    }

    fn answer(&mut self, number: u32, payload: &[u8], out: &mut Vec<u8>) -> Step {
        let request = match OptionRequest::decode(number, payload) {
            Ok(request) => request,
            Err(bad) => return malformed(number, bad, out),
        };
        match request {
            OptionRequest::ExportName(name) => return self.export_name(&name, out),
            OptionRequest::Abort => {
                OptionReply::Ack.encode(number, out);
                return Step::Close("the client aborted");
            }
            OptionRequest::List => self.list(number, out),
            OptionRequest::StartTls => {
                refuse(
                    out,
                    number,
                    NBD_REP_ERR_POLICY,
                    "this server does not offer TLS",
                );
            }
            OptionRequest::Info(request) => {
                self.info(NBD_OPT_INFO, &request, out);
            }
            OptionRequest::Go(request) => {
                if let Some(opened) = self.info(NBD_OPT_GO, &request, out) {
                    return self.ready(&request.name, opened);
                }
            }
            OptionRequest::StructuredReply => {
                self.structured = true;
                OptionReply::Ack.encode(number, out);
            }
            OptionRequest::ListMetaContext(request) => self.list_meta(number, &request, out),
            OptionRequest::SetMetaContext(request) => self.set_meta(number, request, out),
            OptionRequest::Unknown(_) => {
                refuse(out, number, NBD_REP_ERR_UNSUP, "unknown option");
            }
        }
        Step::Answered
    }

    fn export_name(&mut self, name: &str, out: &mut Vec<u8>) -> Step {
        let Ok(opened) = self.exports.open(self.principal, name) else {
            // This option has no way to say no.
            return Step::Close("the export was not opened");
        };
        let device = opened.device.as_ref();
        let flags = transmission_flags(device, self.structured);
        out.extend_from_slice(&encode_export(device.size_bytes(), flags));
        if !self.no_zeroes {
            out.extend_from_slice(&[0; 124]);
        }
        self.ready(name, opened)
    }

    fn list(&self, number: u32, out: &mut Vec<u8>) {
        for ExportEntry { name, description } in self
            .exports
            .list(self.principal)
            .into_iter()
            .take(MAX_LISTED)
        {
            let description = cut(&description, MAX_TEXT).to_owned();
            OptionReply::Server { name, description }.encode(number, out);
        }
        OptionReply::Ack.encode(number, out);
    }

    /// Answers `INFO` or `GO`; what was opened, if it was.
    fn info(&self, number: u32, request: &InfoRequest, out: &mut Vec<u8>) -> Option<Opened> {
        let opened = self.open(number, &request.name, out)?;
        let device = opened.device.as_ref();
        let flags = transmission_flags(device, self.structured);
        OptionReply::Export {
            size_bytes: device.size_bytes(),
            flags,
        }
        .encode(number, out);
        for (index, info) in request.infos.iter().enumerate() {
            let repeated = request
                .infos
                .iter()
                .take(index)
                .any(|earlier| earlier == info);
            let reply = match *info {
                _ if repeated => continue,
                NBD_INFO_NAME => OptionReply::Name(request.name.clone()),
                NBD_INFO_DESCRIPTION => {
                    OptionReply::Description(cut(&opened.description, MAX_TEXT).to_owned())
                }
                NBD_INFO_BLOCK_SIZE => OptionReply::BlockSize(device.block_sizes()),
                // NBD_INFO_EXPORT was answered already; others are to be ignored.
                _ => continue,
            };
            reply.encode(number, out);
        }
        OptionReply::Ack.encode(number, out);
        Some(opened)
    }

    fn list_meta(&self, number: u32, request: &MetaRequest, out: &mut Vec<u8>) {
        if !self.may_meta(number, out) || self.open(number, &request.name, out).is_none() {
            return;
        }
        let wanted = |query: &String| query == "base:" || query == BASE_ALLOCATION;
        if request.queries.is_empty() || request.queries.iter().any(wanted) {
            // The number is reserved in listings.
            OptionReply::MetaContext {
                id: 0,
                name: BASE_ALLOCATION.to_owned(),
            }
            .encode(number, out);
        }
        OptionReply::Ack.encode(number, out);
    }

    fn set_meta(&mut self, number: u32, request: MetaRequest, out: &mut Vec<u8>) {
        // A selection replaces the earlier one even if it fails.
        self.selected = None;
        if !self.may_meta(number, out) || self.open(number, &request.name, out).is_none() {
            return;
        }
        let mut contexts = Vec::new();
        if request.queries.iter().any(|query| query == BASE_ALLOCATION) {
            let context = MetaContext::BaseAllocation;
            OptionReply::MetaContext {
                id: context.id(),
                name: BASE_ALLOCATION.to_owned(),
            }
            .encode(number, out);
            contexts.push(context);
        }
        OptionReply::Ack.encode(number, out);
        self.selected = Some((request.name, contexts));
    }

    fn may_meta(&self, number: u32, out: &mut Vec<u8>) -> bool {
        if !self.structured {
            refuse(
                out,
                number,
                NBD_REP_ERR_INVALID,
                "structured replies come first",
            );
        }
        self.structured
    }

    /// Opens an export, or says why not.
    fn open(&self, number: u32, name: &str, out: &mut Vec<u8>) -> Option<Opened> {
        let error = match self.exports.open(self.principal, name) {
            Ok(opened) => return Some(opened),
            Err(error) => error,
        };
        let code = match &error {
            OpenError::Unknown => NBD_REP_ERR_UNKNOWN,
            OpenError::Refused(_) => NBD_REP_ERR_POLICY,
            OpenError::Ambiguous(_) => NBD_REP_ERR_INVALID,
            OpenError::ShuttingDown => NBD_REP_ERR_SHUTDOWN,
        };
        refuse(out, number, code, &error.to_string());
        None
    }

    fn ready(&mut self, name: &str, opened: Opened) -> Step {
        // A selection made for another export does not count.
        let contexts = match self.selected.take() {
            Some((selected_for, contexts)) if selected_for == name => contexts,
            _ => Vec::new(),
        };
        Step::Ready(Box::new(Session {
            opened,
            structured: self.structured,
            contexts,
        }))
    }
}

/// Transmission flags of a device.
fn transmission_flags(device: &dyn Device, structured: bool) -> u16 {
    let mut flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA;
    flags |= NBD_FLAG_SEND_CACHE;
    flags |= if device.read_only() {
        NBD_FLAG_READ_ONLY
    } else {
        NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO
    };
    if structured {
        flags |= NBD_FLAG_SEND_DF;
    }
    if device.can_multi_conn() {
        flags |= NBD_FLAG_CAN_MULTI_CONN;
    }
    flags
}

fn malformed(number: u32, bad: BadOption, out: &mut Vec<u8>) -> Step {
    if number == crate::proto::constants::NBD_OPT_EXPORT_NAME {
        return Step::Close("a malformed export name");
    }
    match bad {
        BadOption::Invalid => refuse(out, number, NBD_REP_ERR_INVALID, "malformed option"),
        BadOption::TooBig => refuse(out, number, NBD_REP_ERR_TOO_BIG, "name or list too long"),
    }
    Step::Answered
}

fn refuse(out: &mut Vec<u8>, number: u32, code: u32, text: &str) {
    OptionReply::Error {
        code,
        text: cut(text, MAX_TEXT).to_owned(),
    }
    .encode(number, out);
}

#[cfg(test)]
mod tests;
