//! How rows become bytes: a format byte, little-endian fields, and a CRC32C of all before it.
//!
//! redb verifies its own checksums only when it repairs, so each row carries one. Decoding never
//! panics and allocates no more than the bytes at hand account for.

use uuid::Uuid;

use crate::addr::Address;
use crate::{Error, ErrorKind, Result};

/// Bytes of the checksum at a row's end.
const CRC_BYTES: usize = 4;
/// Bytes of an address.
const ADDRESS_BYTES: usize = 6;
/// Bytes of a piece: its length in chunks, and its first address.
const PIECE_BYTES: usize = 2 + ADDRESS_BYTES;

/// Something stored as one value of a table.
pub(crate) trait Row: Sized {
    /// What the row is, for error messages.
    const NAME: &'static str;

    /// The format byte to write. Decoding may know others.
    fn format(&self) -> u8 {
        1
    }

    /// Appends the fields.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads the fields of `format`; `None` if they make no sense.
    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self>;

    /// The stored form.
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.format()];
        self.put(&mut out);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// The row stored as `bytes`; `Corrupt` if it is none.
    fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = |what: &str| {
            let message = format!("{} row of {} bytes: {what}", Self::NAME, bytes.len());
            Error::new(ErrorKind::Corrupt, message)
        };
        let (sealed, crc) = bytes
            .split_last_chunk::<CRC_BYTES>()
            .ok_or_else(|| corrupt("too short"))?;
        if crc32c::crc32c(sealed) != u32::from_le_bytes(*crc) {
            return Err(corrupt("checksum mismatch"));
        }
        let mut fields = Fields(sealed);
        let format = fields.u8().ok_or_else(|| corrupt("no format byte"))?;
        Self::take(format, &mut fields)
            .filter(|_| fields.0.is_empty())
            .ok_or_else(|| corrupt(&format!("does not parse as format {format}")))
    }
}

/// The bytes of a row not read yet; every getter answers `None` at the end.
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// The next two bytes as a number.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes as a number.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next sixteen bytes as an id.
    pub(crate) fn uuid(&mut self) -> Option<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    /// The next six bytes as an address.
    pub(crate) fn address(&mut self) -> Option<Address> {
        let [a, b, c, d, e, f] = self.array()?;
        Address::from_raw(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }
}

fn put_address(out: &mut Vec<u8>, address: Address) {
    out.extend_from_slice(&address.raw().to_le_bytes()[..ADDRESS_BYTES]);
}

/// How a list of addresses is stored; the value is the format byte of its row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Every address.
    Dense = 1,
    /// Length and first address of each piece whose addresses follow one another.
    Pieces = 2,
}

/// The format byte of the smaller form of `addresses`.
pub(crate) fn addresses_format(addresses: &[Address]) -> u8 {
    let pieces = Pieces(addresses).count();
    if pieces * PIECE_BYTES < addresses.len() * ADDRESS_BYTES {
        Form::Pieces as u8
    } else {
        Form::Dense as u8
    }
}

/// Appends `addresses` in the form of [`addresses_format`].
pub(crate) fn put_addresses(out: &mut Vec<u8>, addresses: &[Address]) {
    if addresses_format(addresses) == Form::Dense as u8 {
        for &address in addresses {
            put_address(out, address);
        }
        return;
    }
    for (len, first) in Pieces(addresses) {
        out.extend_from_slice(&len.to_le_bytes());
        put_address(out, first);
    }
}

/// Fills `into`, to the last entry, with the addresses stored in the form of `format`.
pub(crate) fn take_addresses(
    format: u8,
    fields: &mut Fields<'_>,
    into: &mut [Address],
) -> Option<()> {
    if format == Form::Dense as u8 {
        for entry in into {
            *entry = fields.address()?;
        }
        return Some(());
    }
    if format != Form::Pieces as u8 {
        return None;
    }
    let mut at = 0;
    while at < into.len() {
        let len = usize::from(fields.u16()?);
        let first = fields.address()?;
        let piece = into
            .get_mut(at..at + len)
            .filter(|piece| !piece.is_empty())?;
        Address::from_raw(first.advance(len as u64 - 1).raw())?;
        for (i, entry) in piece.iter_mut().enumerate() {
            *entry = first.advance(i as u64);
        }
        at += len;
    }
    Some(())
}

/// Splits addresses into lengths and first addresses of pieces.
struct Pieces<'a>(&'a [Address]);

impl Iterator for Pieces<'_> {
    type Item = (u16, Address);

    fn next(&mut self) -> Option<Self::Item> {
        let first = *self.0.first()?;
        let len = progression_len(self.0);
        self.0 = &self.0[len..];
        Some((
            u16::try_from(len).expect("rows hold at most 1024 addresses"),
            first,
        ))
    }
}
/// How many addresses from the first on follow one another.
fn progression_len(addresses: &[Address]) -> usize {
    let Some(&first) = addresses.first() else {
        return 0;
    };
    let follows = |(i, &address): (usize, &Address)| address == first.advance(i as u64);
    addresses
        .iter()
        .enumerate()
        .take_while(|&x| follows(x))
        .count()
}
