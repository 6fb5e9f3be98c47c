//! A server of RAM disks in a directory of its own.

use std::collections::HashMap;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nbd::{
    Client, ExportEntry, Exports, MemoryDevice, OpenError, Opened, Principal, Server,
    ServerOptions, StopToken, Uri,
};
use tempfile::TempDir;

/// Everything here takes milliseconds; this is for machines under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const SIZE: u64 = 64 << 20;

#[derive(Default)]
pub(crate) struct Disks {
    disks: Mutex<HashMap<String, Disk>>,
    pub(crate) principals: Mutex<Vec<Principal>>,
}

struct Disk {
    device: Arc<dyn nbd::Device>,
    stop: StopToken,
    guard: Arc<()>,
}

impl Disks {
    pub(crate) fn add(&self, name: &str, device: impl nbd::Device + 'static) -> StopToken {
        let stop = StopToken::new();
        let (device, guard) = (Arc::new(device), Arc::new(()));
        let disk = Disk {
            device,
            stop: stop.clone(),
            guard,
        };
        self.disks.lock().unwrap().insert(name.to_owned(), disk);
        stop
    }

    /// How many connections hold the export open.
    pub(crate) fn holders(&self, name: &str) -> usize {
        Arc::strong_count(&self.disks.lock().unwrap()[name].guard) - 1
    }
}

impl Exports for Disks {
    fn open(&self, principal: &Principal, name: &str) -> Result<Opened, OpenError> {
        self.principals.lock().unwrap().push(principal.clone());
        let disks = self.disks.lock().unwrap();
        let disk = disks.get(name).ok_or(OpenError::Unknown)?;
        Ok(Opened {
            device: disk.device.clone(),
            description: format!("the disk {name}"),
            log_name: name.to_owned(),
            stop: disk.stop.clone(),
            guard: Some(Box::new(disk.guard.clone())),
        })
    }

    fn list(&self, _: &Principal) -> Vec<ExportEntry> {
        let entry = |name: &String| ExportEntry {
            name: name.clone(),
            description: String::new(),
        };
        self.disks.lock().unwrap().keys().map(entry).collect()
    }
}

pub(crate) struct Fixture {
    pub(crate) disks: Arc<Disks>,
    pub(crate) server: Server,
    pub(crate) stop: StopToken,
    pub(crate) directory: TempDir,
}

impl Fixture {
    /// A server of one disk, called `disk`.
    pub(crate) fn new() -> Self {
        Fixture::with(ServerOptions::default(), MemoryDevice::new(SIZE))
    }

    pub(crate) fn with(options: ServerOptions, device: impl nbd::Device + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disks = Arc::new(Disks::default());
        let stop = disks.add("disk", device);
        let mut server = Server::new(disks.clone(), options);
        server
            .listen_unix(&directory.path().join("s"), 0o600)
            .unwrap();
        Fixture {
            disks,
            server,
            stop,
            directory,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    pub(crate) fn uri(&self, export: &str) -> Uri {
        Uri {
            address: nbd::Address::Unix(self.socket()),
            export: export.to_owned(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::open(&self.uri("disk")).unwrap()
    }

    /// A connection without a client.
    pub(crate) fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// The server still serves.
    pub(crate) fn assert_alive(&self) {
        let mut data = [0; 4096];
        self.client().read(0, &mut data).unwrap();
    }
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Reads until the server hangs up.
pub(crate) fn drain(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return bytes,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            // Bytes which the server did not read turn the end into a reset.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return bytes,
            Err(error) => panic!("the server does not hang up: {error}"),
        }
    }
}
