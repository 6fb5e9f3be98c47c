//! NBD URIs: `nbd://HOST[:PORT]/EXPORT` and `nbd+unix:///EXPORT?socket=PATH`.
//!
//! An export's name may be all that guards it, so neither errors nor `Debug` show it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::Error;

/// The port registered for NBD.
const DEFAULT_PORT: u16 = 10809;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address; the host is a name or an address.
    Tcp {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

/// An export on a server.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    /// Where.
    pub address: Address,
    /// Which; empty for the default.
    pub export: String,
}

impl FromStr for Uri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(Error::Uri("it has no scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, export) = rest.split_once('/').unwrap_or((rest, ""));
        let export = decode(export)?;
        let address = match scheme {
            "nbd" => tcp(authority)?,
            "nbd+unix" if authority.is_empty() => unix(query)?,
            "nbd+unix" => return Err(Error::Uri("a unix socket has no host")),
            "nbds" | "nbds+unix" => return Err(Error::Uri("TLS is not supported")),
            _ => return Err(Error::Uri("the scheme is neither nbd nor nbd+unix")),
        };
        Ok(Uri { address, export })
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uri")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

fn tcp(authority: &str) -> Result<Address, Error> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or(Error::Uri("an address lacks its ]"))?;
        (host, rest.strip_prefix(':'))
    } else {
        match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    let port = match port {
        Some(port) => port
            .parse()
            .map_err(|_| Error::Uri("the port is no number"))?,
        None => DEFAULT_PORT,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok(Address::Tcp {
        host: host.to_owned(),
        port,
    })
}

fn unix(query: &str) -> Result<Address, Error> {
    let socket = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("socket="));
    let path = decode(socket.ok_or(Error::Uri("it names no socket"))?)?;
    if path.is_empty() {
        return Err(Error::Uri("it names no socket"));
    }
    Ok(Address::Unix(path.into()))
}

fn decode(text: &str) -> Result<String, Error> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = tail
            .split_at_checked(2)
            .ok_or(Error::Uri("an escape is cut short"))?;
        let value = std::str::from_utf8(digits.0)
            .ok()
            .filter(|it| !it.starts_with('+'));
        let value = value.and_then(|it| u8::from_str_radix(it, 16).ok());
        bytes.push(value.ok_or(Error::Uri("an escape is no hexadecimal number"))?);
        rest = digits.1;
    }
    String::from_utf8(bytes).map_err(|_| Error::Uri("the name is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::{Address, Uri};

    fn parse(text: &str) -> Option<(String, String)> {
        let uri: Uri = text.parse().ok()?;
        Some((uri.address.to_string(), uri.export))
    }

    fn pair(address: &str, export: &str) -> Option<(String, String)> {
        Some((address.to_owned(), export.to_owned()))
    }

    #[test]
    fn uris_name_address_and_export() {
        assert_eq!(parse("nbd://host:1/a%2fb"), pair("host:1", "a/b"));
        assert_eq!(parse("nbd://host"), pair("host:10809", ""));
        assert_eq!(parse("nbd://[::1]:7/x"), pair("[::1]:7", "x"));
        assert_eq!(
            parse("nbd+unix:///v?socket=/run/a%20b"),
            pair("/run/a b", "v")
        );
        assert_eq!(parse("nbd+unix:///?x=1&socket=s"), pair("s", ""));
    }

    #[test]
    fn other_uris_are_refused() {
        for text in [
            "",
            "host/x",
            "nbds://host/x",
            "http://host/x",
            "nbd://host:port/x",
            "nbd+unix:///x",
            "nbd+unix:///x?socket=",
            "nbd+unix://host/x?socket=s",
            "nbd://host/%zz",
            "nbd://host/%1",
            "nbd://host/%ff",
            "nbd://[::1/x",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_the_name() {
        let uri = Uri {
            address: Address::Unix("/s".into()),
            export: "secret".to_owned(),
        };
        assert!(!format!("{uri:?}").contains("secret"));
    }
}
