//! The texts of settings and what they mean: sizes, switches, addresses, paths.
//!
//! Every parser answers what it expects when it cannot read a text; the caller adds which setting it
//! was and where it stood.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use url::{Host, Url};

use super::NetAddress;

/// A value, or a sentence about what was expected.
pub(super) type Parsed<T> = Result<T, String>;

/// `65536`, `64KiB`, `1.5 GiB`, `2TB`: bytes.
pub(super) fn size(text: &str) -> Parsed<u64> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ];
    let expected = || format!("`{text}` is not a size such as 512MiB, 4GiB or a number of bytes");
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit = unit.trim();
    let (_, factor) = *UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(expected)?;
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => fraction(number, factor),
    };
    bytes.ok_or_else(expected)
}

fn fraction(number: &str, factor: u64) -> Option<u64> {
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    // 2^53 is the last value up to which a double counts single bytes.
    (bytes.is_finite() && (0.0..9e15).contains(&bytes)).then_some(bytes as u64)
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// `ADDRESS:PORT`; a host name is looked up and its first address taken.
pub(super) fn listen(text: &str) -> Parsed<SocketAddr> {
    let expected = || format!("`{text}` is not ADDRESS:PORT, as in 127.0.0.1:8700 or [::1]:0");
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let mut found = text.to_socket_addrs().map_err(|_| expected())?;
    found.next().ok_or_else(expected)
}

/// As [`listen`], or `none` for no listener at all.
pub(super) fn optional_listen(text: &str) -> Parsed<Option<SocketAddr>> {
    match text {
        "none" => Ok(None),
        _ => listen(text).map(Some),
    }
}

/// `HOST` or `HOST:PORT` as other machines reach it.
pub(super) fn advertise(text: &str) -> Parsed<NetAddress> {
    let expected = || format!("`{text}` is not HOST or HOST:PORT");
    let url = Url::parse(&format!("nbd://{text}")).map_err(|_| expected())?;
    let bare = url.path().is_empty() && url.query().is_none() && url.username().is_empty();
    let host = url.host_str().filter(|host| bare && !host.is_empty());
    let host = host.ok_or_else(expected)?;
    Ok(NetAddress {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port(),
    })
}

/// `http://HOST[:PORT][/PATH]` without a slash at the end.
pub(super) fn public_url(text: &str) -> Parsed<String> {
    let expected = || format!("`{text}` is not a URL such as http://storage.example:8700");
    let url = Url::parse(text).map_err(|_| expected())?;
    let wildcard = match url.host() {
        Some(Host::Ipv4(address)) => address.is_unspecified(),
        Some(Host::Ipv6(address)) => address.is_unspecified(),
        Some(Host::Domain(_)) => false,
        None => true,
    };
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || wildcard || !plain {
        return Err(expected());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// As [`public_url`], of a service whose URL is known with and without its version.
pub(super) fn service_url(text: &str, version: &str) -> Parsed<String> {
    let url = public_url(text)?;
    let bare = url.strip_suffix(version).unwrap_or(&url);
    Ok(bare.trim_end_matches('/').to_owned())
}

/// A name as Identity has them: any text that is not empty and not too long.
pub(super) fn name(text: &str) -> Parsed<String> {
    match text.len() {
        1..=255 => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not a name of 1 to 255 bytes")),
    }
}

/// An absolute path; a relative one starts at the working directory.
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    std::path::absolute(text).map_err(|error| format!("`{text}` is not a path: {error}"))
}

/// Seconds from `least` on.
pub(super) fn seconds(text: &str, least: u64, most: u64) -> Parsed<Duration> {
    count(text, least, most).map(Duration::from_secs)
}

/// A whole number between two limits.
pub(super) fn count(text: &str, least: u64, most: u64) -> Parsed<u64> {
    let number = text.parse().ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("`{text}` is not a number from {least} to {most}"))
}

/// A word of letters, digits, `-`, `_` and `.`.
pub(super) fn word(text: &str) -> Parsed<String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 255 || !text.chars().all(fine) {
        return Err(format!(
            "`{text}` is not a name of letters, digits, `-`, `_` and `.`"
        ));
    }
    Ok(text.to_owned())
}

/// The value that one of `choices` names.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Parsed<T> {
    let found = choices.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        format!("`{text}` is none of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{advertise, listen, public_url, service_url, size};

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("1.5 KiB"), Ok(1536));
        assert_eq!(size("2TB"), Ok(2_000_000_000_000));
        for wrong in ["", "x", "-1", "1 XiB", "99999999999TiB", ".", "1.2.3"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn addresses_and_urls() {
        assert!(listen("127.0.0.1:0").is_ok());
        assert!(listen("127.0.0.1").is_err());
        let v6 = advertise("[2001:db8::1]:10809").unwrap();
        assert_eq!((v6.host.as_str(), v6.port), ("2001:db8::1", Some(10809)));
        assert_eq!(advertise("store1").unwrap().port, None);
        for wrong in ["", "a b", "a/b", "u@h", "h:x"] {
            assert!(advertise(wrong).is_err(), "{wrong}");
        }
        assert_eq!(public_url("http://h:1/").unwrap(), "http://h:1");
        for url in ["https://k:5000/v3/", "https://k:5000/v3", "https://k:5000"] {
            assert_eq!(service_url(url, "/v3").unwrap(), "https://k:5000");
        }
        for wrong in [
            "h:1",
            "ftp://h",
            "http://0.0.0.0:1",
            "http://[::]",
            "http://h/?a",
        ] {
            assert!(public_url(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whole_bytes_read_back(bytes in any::<u64>()) {
            prop_assert_eq!(size(&bytes.to_string()), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (size(&text), advertise(&text), public_url(&text));
        }
    }
}
