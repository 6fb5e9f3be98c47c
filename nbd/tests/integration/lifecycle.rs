//! Starting, ending connections from outside, and stopping.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use nbd::{
    Client, Device, DeviceError, Error, Extent, Fua, MemoryDevice, Server, ServerOptions,
    ShutdownReport, ZeroFlags,
};

use crate::fixture::{Fixture, PATIENCE, SIZE, eventually};
use crate::gated::Gated;

const CLEAN: ShutdownReport = ShutdownReport { cut: 0, stuck: 0 };

#[test]
fn shutdown_finishes_what_runs_and_flushes() {
    let device = Gated::new();
    let fixture = Fixture::with(ServerOptions::default(), device.clone());
    let client = fixture.client();
    let write = client.start_write(0, &[5; 4096], Fua::No).unwrap();
    eventually("the write runs", || device.waiting() == 1);
    let Fixture {
        server,
        disks,
        directory,
        ..
    } = fixture;
    let stopping = thread::spawn(move || server.shutdown(PATIENCE));
    eventually("no new clients", || {
        std::os::unix::net::UnixStream::connect(directory.path().join("s")).is_err()
    });
    device.open();
    write.wait().unwrap();
    assert_eq!(stopping.join().unwrap(), CLEAN);
    assert_eq!(device.flushes(), 1);
    assert_eq!(disks.holders("disk"), 0);
    assert!(matches!(client.flush(), Err(Error::Disconnected(_))));
    assert!(!directory.path().join("s").exists());
}

#[test]
fn shutdown_cuts_off_what_does_not_end() {
    let device = Gated::new();
    let fixture = Fixture::with(ServerOptions::default(), device.clone());
    let client = fixture.client();
    let write = client.start_write(0, &[5; 4096], Fua::No).unwrap();
    eventually("the write runs", || device.waiting() == 1);
    let report = fixture.server.shutdown(Duration::from_millis(50));
    assert_eq!(report, ShutdownReport { cut: 1, stuck: 1 });
    assert!(write.wait().is_err());
    device.open();
}

#[test]
fn idle_connections_do_not_hold_up_a_shutdown() {
    let fixture = Fixture::new();
    let (_idle, _handshaking) = (fixture.client(), fixture.stream());
    assert_eq!(fixture.server.shutdown(PATIENCE), CLEAN);
}

#[test]
fn a_withdrawn_export_ends_its_connections_and_only_those() {
    let fixture = Fixture::new();
    fixture.disks.add("other", MemoryDevice::new(SIZE));
    let (first, second) = (fixture.client(), fixture.client());
    let other = Client::open(&fixture.uri("other")).unwrap();
    eventually("both are bound", || fixture.stop.connections() == 2);
    fixture.stop.stop();
    assert!(fixture.stop.wait_idle(PATIENCE));
    assert!(matches!(first.flush(), Err(Error::Disconnected(_))));
    assert!(matches!(second.flush(), Err(Error::Disconnected(_))));
    other.flush().unwrap();
    eventually("the guards are dropped", || {
        fixture.disks.holders("disk") == 0
    });
    // The fixture still gives the export out; the token ends the connection nevertheless.
    if let Ok(late) = Client::open(&fixture.uri("disk")) {
        assert!(late.flush().is_err());
    }
}

#[test]
fn live_connections_are_listed_counted_and_closed() {
    let fixture = Fixture::new();
    let client = fixture.client();
    client.write(0, &[1; 8192], Fua::No).unwrap();
    client.read(0, &mut [0; 512]).unwrap();
    assert!(client.read(SIZE, &mut [0; 512]).is_err());
    let connections = fixture.server.connections().clone();
    let [info] = connections.list().try_into().unwrap();
    assert_eq!(info.export.as_deref(), Some("disk"));
    assert_eq!(
        (info.counts.bytes_written, info.counts.bytes_read),
        (8192, 512)
    );
    assert_eq!((info.counts.operations(), info.counts.errors), (2, 1));
    assert!(connections.close(info.id));
    eventually("it is gone", || connections.list().is_empty());
    assert!(client.flush().is_err());
    assert_eq!(connections.totals().bytes_written, 8192);
    assert!(!connections.close(info.id));
}

#[test]
fn a_panic_in_a_device_ends_its_connection_only() {
    struct Panics(MemoryDevice);
    impl Device for Panics {
        fn size_bytes(&self) -> u64 {
            SIZE
        }
        fn read_only(&self) -> bool {
            false
        }
        fn can_multi_conn(&self) -> bool {
            false
        }
        fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
            self.0.read(offset, buffer)
        }
        fn write(&self, _: u64, _: &[u8], _: Fua) -> Result<(), DeviceError> {
            panic!("a device's mistake, on purpose");
        }
        fn flush(&self) -> Result<(), DeviceError> {
            Ok(())
        }
        fn trim(&self, _: u64, _: u64, _: Fua) -> Result<(), DeviceError> {
            Ok(())
        }
        fn zero(&self, _: u64, _: u64, _: ZeroFlags, _: Fua) -> Result<(), DeviceError> {
            Ok(())
        }
        fn cache(&self, _: u64, _: u64) -> Result<(), DeviceError> {
            Ok(())
        }
        fn status(&self, _: u64, length: u64, _: usize) -> Result<Vec<Extent>, DeviceError> {
            Ok(vec![Extent {
                length,
                hole: false,
                zero: false,
            }])
        }
    }
    let fixture = Fixture::with(ServerOptions::default(), Panics(MemoryDevice::new(SIZE)));
    let client = fixture.client();
    assert!(!client.can_multi_conn());
    assert!(matches!(
        client.write(0, &[1], Fua::No),
        Err(Error::Disconnected(_))
    ));
    fixture.assert_alive();
    assert_eq!(fixture.server.shutdown(PATIENCE), CLEAN);
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let fixture = Fixture::new();
    let fresh = || Server::new(fixture.disks.clone(), ServerOptions::default());
    let live = fresh().listen_unix(&fixture.socket(), 0o600);
    assert!(matches!(live, Err(Error::SocketInUse(_))));
    fixture.assert_alive();

    let stale = fixture.directory.path().join("stale");
    drop(UnixListener::bind(&stale).unwrap());
    let mut server = fresh();
    server.listen_unix(&stale, 0o660).unwrap();
    let mode = std::fs::metadata(&stale).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(server.shutdown(PATIENCE), CLEAN);
    assert!(!stale.exists());

    let file = fixture.directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let refused = fresh().listen_unix(&file, 0o600);
    assert!(matches!(refused, Err(Error::NotASocket(_))));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
}
