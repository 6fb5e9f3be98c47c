//! Which part of an image a request asks for.
//!
//! `Range` counts; without it a `Content-Range`, which has no meaning in requests but which the
//! real service obeys.

use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::fault::{Fault, FaultKind};

/// The bytes asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All.
    All,
    /// From the first up to before the second place.
    Part(u64, u64),
}

fn unsatisfiable(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::RangeNotSatisfiable, message)
}

impl Wanted {
    /// Reads the headers of a request for `size` bytes.
    ///
    /// # Errors
    /// 400 for several ranges, 416 for one that makes no sense or begins behind the end.
    pub(super) fn of(headers: &HeaderMap, size: u64) -> Result<Self, Fault> {
        let text = |name: &HeaderName| {
            let value = headers.get(name)?;
            Some(value.to_str().unwrap_or_default().to_owned())
        };
        if let Some(range) = text(&header::RANGE) {
            return range_of(&range, size);
        }
        match text(&header::CONTENT_RANGE) {
            Some(range) => content_range_of(&range, size),
            None => Ok(Self::All),
        }
    }

    /// The first byte and the one behind the last.
    pub(super) fn bounds(self, size: u64) -> (u64, u64) {
        match self {
            Self::All => (0, size),
            Self::Part(start, end) => (start, end),
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::All => StatusCode::OK,
            Self::Part(..) => StatusCode::PARTIAL_CONTENT,
        }
    }

    /// The header of the answer that says which part it is.
    pub(super) fn told(self, size: u64) -> Option<String> {
        match self {
            Self::All => None,
            Self::Part(start, end) => {
                Some(format!("bytes {start}-{}/{size}", end.saturating_sub(1)))
            }
        }
    }
}

/// A number, if it is one; a longer one than any image is the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn starts_inside(start: u64, size: u64, header: &str) -> Result<(), Fault> {
    if start < size {
        return Ok(());
    }
    let last = i128::from(size) - 1;
    Err(unsatisfiable(format!(
        "Invalid start position in {header} header. Start position MUST be in the inclusive range \
         [0, {last}]."
    )))
}

fn range_of(text: &str, size: u64) -> Result<Wanted, Fault> {
    if text.contains(',') {
        return Err(Fault::bad_request(
            "Requests with multiple ranges are not supported in Glance. You may make multiple \
             single-range requests instead.",
        ));
    }
    let invalid = || unsatisfiable("Invalid Range header.");
    let (unit, bounds) = text.split_once('=').ok_or_else(invalid)?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Err(invalid());
    }
    let (first, last) = bounds.trim().split_once('-').ok_or_else(invalid)?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let tail = number(last).filter(|tail| *tail > 0).ok_or_else(invalid)?;
        return Ok(Wanted::Part(size.saturating_sub(tail), size));
    }
    let start = number(first).ok_or_else(invalid)?;
    let end = match last {
        "" => size,
        last => number(last).ok_or_else(invalid)?.saturating_add(1),
    };
    if !last.is_empty() && end <= start {
        return Err(invalid());
    }
    starts_inside(start, size, "Range")?;
    Ok(Wanted::Part(start, end.min(size)))
}

fn content_range_of(text: &str, size: u64) -> Result<Wanted, Fault> {
    let invalid = || unsatisfiable("Invalid Content-Range header.");
    let bounds = text.trim().strip_prefix("bytes ").ok_or_else(invalid)?;
    let (bounds, length) = bounds.split_once('/').ok_or_else(invalid)?;
    let (first, last) = bounds.split_once('-').ok_or_else(invalid)?;
    let (start, last) = (number(first.trim()), number(last.trim()));
    let (Some(start), Some(last)) = (start, last) else {
        return Err(invalid());
    };
    let end = last.saturating_add(1);
    if end <= start || (length.trim() != "*" && number(length.trim()).is_none()) {
        return Err(invalid());
    }
    starts_inside(start, size, "Content-Range")?;
    if end > size {
        let last = i128::from(size) - 1;
        return Err(unsatisfiable(format!(
            "Invalid stop position in Content-Range header. The stop position MUST be in the \
             inclusive range [0, {last}]."
        )));
    }
    Ok(Wanted::Part(start, end))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, header};
    use proptest::prelude::{any, prop_assert, proptest};

    use super::Wanted;

    fn wanted(range: &str, size: u64) -> Result<Wanted, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        Wanted::of(&headers, size).map_err(|fault| fault.kind().status().as_u16())
    }

    #[test]
    fn ranges_are_read_as_the_real_service_reads_them() {
        for (range, expected) in [
            ("bytes=0-4", Ok(Wanted::Part(0, 5))),
            ("bytes=5-", Ok(Wanted::Part(5, 10))),
            ("bytes=-3", Ok(Wanted::Part(7, 10))),
            ("bytes=-30", Ok(Wanted::Part(0, 10))),
            ("bytes=5-500", Ok(Wanted::Part(5, 10))),
            ("bytes=10-", Err(416)),
            ("bytes=4-3", Err(416)),
            ("bytes=", Err(416)),
            ("lines=0-1", Err(416)),
            ("bytes=0-1,3-4", Err(400)),
            ("bytes=99999999999999999999999-", Err(416)),
        ] {
            assert_eq!(wanted(range, 10), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), Err(416));
    }

    #[test]
    fn the_other_header_counts_too() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, text.parse().unwrap());
            Wanted::of(&headers, 10).map_err(|fault| fault.kind().status().as_u16())
        };
        assert_eq!(read("bytes 1-3/10"), Ok(Wanted::Part(1, 4)));
        assert_eq!(read("bytes 1-3/*"), Ok(Wanted::Part(1, 4)));
        assert_eq!(read("bytes 1-30/*"), Err(416));
        assert_eq!(read("bytes 3-1/*"), Err(416));
        assert_eq!(read("nonsense"), Err(416));
    }

    proptest! {
        #[test]
        fn no_range_leads_outside(range in "bytes=[0-9]{0,22}-[0-9]{0,22}", size in any::<u64>()) {
            if let Ok(found) = wanted(&range, size) {
                let (start, end) = found.bounds(size);
                prop_assert!(start <= end && end <= size);
            }
        }
    }
}
