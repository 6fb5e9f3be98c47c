//! Options: what clients ask for during the handshake.

use super::constants::{
    NBD_OPT_ABORT, NBD_OPT_EXPORT_NAME, NBD_OPT_GO, NBD_OPT_INFO, NBD_OPT_LIST,
    NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT, NBD_OPT_STARTTLS,
    NBD_OPT_STRUCTURED_REPLY, NBD_OPTS_MAGIC,
};
use super::wire::{Fields, put_string};

/// Bytes of an option's header.
pub const OPTION_HEADER_LENGTH: usize = 16;
/// The longest option payload taken in: room for the longest name and all context queries that
/// make sense.
pub const MAX_OPTION_LENGTH: usize = 64 << 10;
/// The longest name or query: the specification's limit for strings.
pub const MAX_NAME_LENGTH: usize = 4096;
/// How many context queries, or information requests, one option may hold.
pub const MAX_LIST_ENTRIES: usize = 64;

/// The header of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionHeader {
    /// `NBD_OPT_*`.
    pub option: u32,
    /// Length of the payload which follows.
    pub length: u32,
}

impl OptionHeader {
    /// Reads a header from the front of `bytes`; `None` if there are too few.
    pub fn decode(bytes: &[u8]) -> Option<Result<OptionHeader, super::BadMagic>> {
        let mut fields = Fields::new(bytes.get(..OPTION_HEADER_LENGTH)?);
        if fields.u64()? != NBD_OPTS_MAGIC {
            return Some(Err(super::BadMagic));
        }
        Some(Ok(OptionHeader {
            option: fields.u32()?,
            length: fields.u32()?,
        }))
    }
}

/// One option with its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionRequest {
    /// `NBD_OPT_EXPORT_NAME`.
    ExportName(String),
    /// `NBD_OPT_ABORT`.
    Abort,
    /// `NBD_OPT_LIST`.
    List,
    /// `NBD_OPT_STARTTLS`.
    StartTls,
    /// `NBD_OPT_INFO`.
    Info(InfoRequest),
    /// `NBD_OPT_GO`.
    Go(InfoRequest),
    /// `NBD_OPT_STRUCTURED_REPLY`.
    StructuredReply,
    /// `NBD_OPT_LIST_META_CONTEXT`.
    ListMetaContext(MetaRequest),
    /// `NBD_OPT_SET_META_CONTEXT`.
    SetMetaContext(MetaRequest),
    /// Any other number.
    Unknown(u32),
}

/// The payload of `NBD_OPT_INFO` and `NBD_OPT_GO`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoRequest {
    /// The export's name.
    pub name: String,
    /// `NBD_INFO_*` asked for.
    pub infos: Vec<u16>,
}

/// The payload of the meta context options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaRequest {
    /// The export's name.
    pub name: String,
    /// What to look for.
    pub queries: Vec<String>,
}

/// Why an option's payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOption {
    /// It does not follow the layout, or a string is no UTF-8.
    Invalid,
    /// A name or a list is longer than the limits.
    TooBig,
}

impl OptionRequest {
    /// Reads an option's payload.
    pub fn decode(option: u32, payload: &[u8]) -> Result<OptionRequest, BadOption> {
        let bare = |request| {
            if payload.is_empty() {
                Ok(request)
            } else {
                Err(BadOption::Invalid)
            }
        };
        match option {
            NBD_OPT_EXPORT_NAME => Ok(OptionRequest::ExportName(name(Some(payload))?)),
            // Data with an abort is to be ignored.
            NBD_OPT_ABORT => Ok(OptionRequest::Abort),
            NBD_OPT_LIST => bare(OptionRequest::List),
            NBD_OPT_STARTTLS => bare(OptionRequest::StartTls),
            NBD_OPT_INFO => info(payload).map(OptionRequest::Info),
            NBD_OPT_GO => info(payload).map(OptionRequest::Go),
            NBD_OPT_STRUCTURED_REPLY => bare(OptionRequest::StructuredReply),
            NBD_OPT_LIST_META_CONTEXT => meta(payload).map(OptionRequest::ListMetaContext),
            NBD_OPT_SET_META_CONTEXT => meta(payload).map(OptionRequest::SetMetaContext),
            other => Ok(OptionRequest::Unknown(other)),
        }
    }

    /// The option's number.
    pub fn number(&self) -> u32 {
        match self {
            OptionRequest::ExportName(_) => NBD_OPT_EXPORT_NAME,
            OptionRequest::Abort => NBD_OPT_ABORT,
            OptionRequest::List => NBD_OPT_LIST,
            OptionRequest::StartTls => NBD_OPT_STARTTLS,
            OptionRequest::Info(_) => NBD_OPT_INFO,
            OptionRequest::Go(_) => NBD_OPT_GO,
            OptionRequest::StructuredReply => NBD_OPT_STRUCTURED_REPLY,
            OptionRequest::ListMetaContext(_) => NBD_OPT_LIST_META_CONTEXT,
            OptionRequest::SetMetaContext(_) => NBD_OPT_SET_META_CONTEXT,
            OptionRequest::Unknown(number) => *number,
        }
    }

    /// Header and payload.
    pub fn encode(&self) -> Vec<u8> {
        let payload = self.payload();
        let length = u32::try_from(payload.len()).expect("names and lists are limited in length");
        let mut bytes = NBD_OPTS_MAGIC.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.number().to_be_bytes());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&payload);
        bytes
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            OptionRequest::ExportName(name) => bytes.extend_from_slice(name.as_bytes()),
            OptionRequest::Info(request) | OptionRequest::Go(request) => {
                put_string(&mut bytes, request.name.as_bytes());
                let count = u16::try_from(request.infos.len()).unwrap_or(u16::MAX);
                bytes.extend_from_slice(&count.to_be_bytes());
                for info in request.infos.iter().take(usize::from(count)) {
                    bytes.extend_from_slice(&info.to_be_bytes());
                }
            }
            OptionRequest::ListMetaContext(request) | OptionRequest::SetMetaContext(request) => {
                put_string(&mut bytes, request.name.as_bytes());
                let count = u32::try_from(request.queries.len()).unwrap_or(u32::MAX);
                bytes.extend_from_slice(&count.to_be_bytes());
                for query in &request.queries {
                    put_string(&mut bytes, query.as_bytes());
                }
            }
            OptionRequest::Abort
            | OptionRequest::List
            | OptionRequest::StartTls
            | OptionRequest::StructuredReply
            | OptionRequest::Unknown(_) => {}
        }
        bytes
    }
}

fn name(bytes: Option<&[u8]>) -> Result<String, BadOption> {
    let bytes = bytes.ok_or(BadOption::Invalid)?;
    if bytes.len() > MAX_NAME_LENGTH {
        return Err(BadOption::TooBig);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| BadOption::Invalid)
}

fn info(payload: &[u8]) -> Result<InfoRequest, BadOption> {
    let mut fields = Fields::new(payload);
    let name = name(fields.string())?;
    let count = usize::from(fields.u16().ok_or(BadOption::Invalid)?);
    if fields.rest().len() != count * 2 {
        return Err(BadOption::Invalid);
    }
    if count > MAX_LIST_ENTRIES {
        return Err(BadOption::TooBig);
    }
    let infos = (0..count).map_while(|_| fields.u16()).collect();
    Ok(InfoRequest { name, infos })
}

fn meta(payload: &[u8]) -> Result<MetaRequest, BadOption> {
    let mut fields = Fields::new(payload);
    let name_of_export = name(fields.string())?;
    let count = fields.u32().ok_or(BadOption::Invalid)?;
    // A count which the payload cannot hold is malformed whatever the limit is.
    if fields.rest().len() as u64 / 4 < u64::from(count) {
        return Err(BadOption::Invalid);
    }
    if count as usize > MAX_LIST_ENTRIES {
        return Err(BadOption::TooBig);
    }
    let mut queries = Vec::with_capacity(count as usize);
    for _ in 0..count {
        queries.push(name(fields.string())?);
    }
    if !fields.is_empty() {
        return Err(BadOption::Invalid);
    }
    Ok(MetaRequest {
        name: name_of_export,
        queries,
    })
}
