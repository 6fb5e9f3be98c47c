//! A volume on the operators' socket, through a client of the tests' own: it shares no code with the
//! server, so that a mistake made on both sides of our codec cannot hide. One request at a time,
//! simple replies only.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail, ensure};

use crate::tool::PATIENCE;

const OPT_GO: u32 = 7;
const REP_ACK: u32 = 1;
const REP_INFO: u32 = 3;
const REP_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;
const FLAG_FUA: u16 = 1;

#[derive(Clone, Copy)]
enum Command {
    Read = 0,
    Write = 1,
    Flush = 3,
    WriteZeroes = 6,
}

/// The server's refusal, by its errno.
#[derive(Debug)]
struct Refused(u32);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

impl std::error::Error for Refused {}

/// An open volume.
pub(crate) struct Disk {
    stream: UnixStream,
    size: u64,
    cookie: u64,
}

impl Disk {
    /// Connects to a `nbd+unix:///NAME?socket=PATH` address.
    pub(crate) fn open(uri: &str) -> Result<Self> {
        let address = uri
            .strip_prefix("nbd+unix:///")
            .context("not a unix address")?;
        let (name, socket) = address.split_once("?socket=").context("no socket")?;
        let mut stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut greeting = [0; 18];
        stream.read_exact(&mut greeting)?;
        ensure!(greeting.starts_with(b"NBDMAGICIHAVEOPT"), "{greeting:?}");
        let mut hello = 3_u32.to_be_bytes().to_vec();
        hello.extend(b"IHAVEOPT");
        hello.extend(OPT_GO.to_be_bytes());
        hello.extend((name.len() as u32 + 6).to_be_bytes());
        hello.extend((name.len() as u32).to_be_bytes());
        hello.extend(name.as_bytes());
        hello.extend(0_u16.to_be_bytes());
        stream.write_all(&hello)?;
        let size = Self::go(&mut stream)?;
        Ok(Self {
            stream,
            size,
            cookie: 0,
        })
    }

    fn go(stream: &mut UnixStream) -> Result<u64> {
        let mut size = None;
        loop {
            let mut head = [0; 20];
            stream.read_exact(&mut head)?;
            ensure!(head[..8] == REP_MAGIC.to_be_bytes(), "reply magic");
            let kind = u32::from_be_bytes(head[12..16].try_into()?);
            let len = u32::from_be_bytes(head[16..].try_into()?);
            let mut data = vec![0; len.min(65536) as usize];
            stream.read_exact(&mut data)?;
            match kind {
                REP_ACK => return size.context("ACK without INFO_EXPORT"),
                REP_INFO if data.starts_with(&[0, 0]) && data.len() == 12 => {
                    size = Some(u64::from_be_bytes(data[2..10].try_into()?));
                }
                REP_INFO => {}
                refused => bail!("refused: {refused:#x} {}", String::from_utf8_lossy(&data)),
            }
        }
    }

    /// The export's size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The errno with which the server refused, if that is what an error is.
    pub(crate) fn errno(error: &anyhow::Error) -> Option<u32> {
        error.downcast_ref::<Refused>().map(|refused| refused.0)
    }

    fn request(
        &mut self,
        command: Command,
        flags: u16,
        offset: u64,
        len: u32,
        data: &[u8],
    ) -> Result<()> {
        self.cookie += 1;
        let mut head = REQUEST_MAGIC.to_be_bytes().to_vec();
        head.extend(flags.to_be_bytes());
        head.extend((command as u16).to_be_bytes());
        head.extend(self.cookie.to_be_bytes());
        head.extend(offset.to_be_bytes());
        head.extend(len.to_be_bytes());
        self.stream.write_all(&head)?;
        self.stream.write_all(data)?;
        let mut reply = [0; 16];
        self.stream.read_exact(&mut reply)?;
        ensure!(reply[..4] == REPLY_MAGIC.to_be_bytes(), "reply magic");
        ensure!(
            reply[8..] == self.cookie.to_be_bytes(),
            "reply to another request"
        );
        match u32::from_be_bytes(reply[4..8].try_into()?) {
            0 => Ok(()),
            errno => Err(Refused(errno).into()),
        }
    }

    /// Reads bytes.
    pub(crate) fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>> {
        self.request(Command::Read, 0, offset, u32::try_from(len)?, &[])?;
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes bytes; durable after the next flush.
    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.request(Command::Write, 0, offset, u32::try_from(data.len())?, data)
    }

    /// Writes bytes that are durable when it returns.
    pub(crate) fn write_durable(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        self.request(
            Command::Write,
            FLAG_FUA,
            offset,
            u32::try_from(data.len())?,
            data,
        )
    }

    /// Makes a range read as zeroes.
    pub(crate) fn write_zeroes(&mut self, offset: u64, len: u64) -> Result<()> {
        self.request(Command::WriteZeroes, 0, offset, u32::try_from(len)?, &[])
    }

    /// Makes all that was answered durable.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.request(Command::Flush, 0, 0, 0, &[])
    }
}
