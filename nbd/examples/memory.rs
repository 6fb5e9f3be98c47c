//! Serves a RAM disk: `memory [--size BYTES[K|M|G]] [--read-only] (--unix PATH | --tcp ADDR:PORT)...`.
//!
//! The exports are `` (the default) and `disk`, and `ro`, which is the same disk read-only. It runs
//! until it is killed, or until its standard input ends if `--until-eof` is given.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nbd::{
    Device, DeviceError, ExportEntry, Exports, Extent, Fua, MemoryDevice, OpenError, Opened,
    Principal, Server, ServerOptions, StopToken, ZeroFlags,
};

struct Disk {
    disk: Arc<MemoryDevice>,
    read_only: bool,
}

impl Exports for Disk {
    fn open(&self, _: &Principal, name: &str) -> Result<Opened, OpenError> {
        let device: Arc<dyn Device> = match name {
            "" | "disk" if !self.read_only => self.disk.clone(),
            "" | "disk" | "ro" => Arc::new(ReadOnly(self.disk.clone())),
            _ => return Err(OpenError::Unknown),
        };
        Ok(Opened {
            device,
            description: "a disk in memory".to_owned(),
            log_name: name.to_owned(),
            stop: StopToken::new(),
            guard: None,
        })
    }

    fn list(&self, _: &Principal) -> Vec<ExportEntry> {
        let entry = |name: &str| ExportEntry {
            name: name.to_owned(),
            description: "a disk in memory".to_owned(),
        };
        vec![entry("disk"), entry("ro")]
    }
}

struct ReadOnly(Arc<MemoryDevice>);

impl Device for ReadOnly {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }
    fn read_only(&self) -> bool {
        true
    }
    fn can_multi_conn(&self) -> bool {
        true
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read(offset, buffer)
    }
    fn write(&self, _: u64, _: &[u8], _: Fua) -> Result<(), DeviceError> {
        Err(DeviceError::new(nbd::Errno::Perm, "read-only"))
    }
    fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }
    fn trim(&self, _: u64, _: u64, _: Fua) -> Result<(), DeviceError> {
        Err(DeviceError::new(nbd::Errno::Perm, "read-only"))
    }
    fn zero(&self, _: u64, _: u64, _: ZeroFlags, _: Fua) -> Result<(), DeviceError> {
        Err(DeviceError::new(nbd::Errno::Perm, "read-only"))
    }
    fn cache(&self, offset: u64, length: u64) -> Result<(), DeviceError> {
        self.0.cache(offset, length)
    }
    fn status(&self, offset: u64, length: u64, most: usize) -> Result<Vec<Extent>, DeviceError> {
        self.0.status(offset, length, most)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut size, mut read_only, mut until_eof) = (512 << 20, false, false);
    let (mut unix, mut tcp) = (Vec::<PathBuf>::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} wants a value"));
        match argument.as_str() {
            "--size" => size = bytes(&value()?)?,
            "--read-only" => read_only = true,
            "--until-eof" => until_eof = true,
            "--unix" => unix.push(value()?.into()),
            "--tcp" => tcp.push(value()?.parse()?),
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    let disk = Arc::new(MemoryDevice::new(size));
    let mut server = Server::new(Arc::new(Disk { disk, read_only }), ServerOptions::default());
    for path in unix {
        server.listen_unix(&path, 0o600)?;
        println!("nbd+unix:///disk?socket={}", path.display());
    }
    for address in tcp {
        println!("nbd://{}/disk", server.listen_tcp(address)?);
    }
    if until_eof {
        std::io::stdin().read_to_end(&mut Vec::new())?;
    } else {
        loop {
            std::thread::park();
        }
    }
    println!("{:?}", server.shutdown(Duration::from_secs(5)));
    Ok(())
}

fn bytes(text: &str) -> Result<u64, std::num::ParseIntError> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    Ok(digits.parse::<u64>()? << shift)
}
