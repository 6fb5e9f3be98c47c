//! Clients which break the rules, stall, or vanish.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use nbd::proto::constants::{NBD_CMD_READ, NBD_CMD_WRITE, NBD_INFO_BLOCK_SIZE};
use nbd::proto::{GREETING_LENGTH, InfoRequest, OptionRequest, Request};
use nbd::{MemoryDevice, ServerOptions};
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, TestRunner};

use crate::fixture::{Fixture, PATIENCE, SIZE, drain, eventually};

/// A stream in the transmission phase.
fn in_transmission(fixture: &Fixture) -> std::os::unix::net::UnixStream {
    let mut stream = fixture.stream();
    let request = InfoRequest {
        name: "disk".to_owned(),
        infos: vec![NBD_INFO_BLOCK_SIZE],
    };
    let mut bytes = 3u32.to_be_bytes().to_vec();
    bytes.extend(OptionRequest::Go(request).encode());
    stream.write_all(&bytes).unwrap();
    // Greeting, export, block size, acknowledgement.
    stream
        .read_exact(&mut [0; GREETING_LENGTH + 32 + 34 + 20])
        .unwrap();
    stream
}

fn request(command: u16, length: u64) -> Vec<u8> {
    let request = Request {
        flags: 0,
        command,
        cookie: 1,
        offset: 0,
        length,
    };
    request.encode().unwrap().to_vec()
}

#[test]
fn garbage_on_the_port_is_hung_up_on() {
    let fixture = Fixture::new();
    for garbage in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        &[0xff; 4096],
        &[0; 100],
    ] {
        let mut stream = fixture.stream();
        // The server may hang up before it has read everything.
        let _ = stream.write_all(garbage);
        drain(&mut stream);
    }
    eventually("no connection is left", || {
        fixture.server.connections().list().is_empty()
    });
    fixture.assert_alive();
}

#[test]
fn random_bytes_over_a_socket_are_survived() {
    let fixture = Fixture::new();
    let mut runner = TestRunner::new(Config {
        cases: 60,
        ..Config::default()
    });
    let inputs = (any::<bool>(), vec(any::<u8>(), 0..2000));
    let ran = runner.run(&inputs, |(inside, bytes)| {
        let mut stream = if inside {
            in_transmission(&fixture)
        } else {
            fixture.stream()
        };
        let _ = stream.write_all(&bytes);
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        drain(&mut stream);
        Ok(())
    });
    ran.unwrap();
    eventually("no connection is left", || {
        fixture.server.connections().list().is_empty()
    });
    fixture.assert_alive();
}

#[test]
fn a_slow_handshake_ends_at_the_deadline() {
    let handshake_timeout = Duration::from_millis(200);
    let options = ServerOptions {
        handshake_timeout,
        ..ServerOptions::default()
    };
    let fixture = Fixture::with(options, MemoryDevice::new(SIZE));
    let begun = Instant::now();
    let mut silent = fixture.stream();
    let mut slow = fixture.stream();
    // A byte now and then must not put the deadline off.
    while slow.write_all(&[0]).is_ok() && begun.elapsed() < PATIENCE {
        std::thread::park_timeout(Duration::from_millis(20));
    }
    drain(&mut silent);
    assert!(begun.elapsed() >= handshake_timeout && begun.elapsed() < PATIENCE);
    fixture.assert_alive();
}

#[test]
fn established_connections_know_no_handshake_deadline() {
    let handshake_timeout = Duration::from_millis(50);
    let options = ServerOptions {
        handshake_timeout,
        ..ServerOptions::default()
    };
    let fixture = Fixture::with(options, MemoryDevice::new(SIZE));
    let client = fixture.client();
    let mut stalled = fixture.stream();
    // The stalled handshake is over, so the client has lived longer than its own could last.
    drain(&mut stalled);
    client.flush().unwrap();
}

#[test]
fn an_unfinished_write_changes_nothing() {
    let fixture = Fixture::new();
    let mut stream = in_transmission(&fixture);
    stream.write_all(&request(NBD_CMD_WRITE, 8192)).unwrap();
    stream.write_all(&[0xaa; 5000]).unwrap();
    drop(stream);
    eventually("the connection ended", || {
        fixture.server.connections().list().is_empty()
    });
    let mut data = [1; 8192];
    fixture.client().read(0, &mut data).unwrap();
    assert_eq!(data, [0; 8192]);
}

#[test]
fn a_client_that_does_not_read_hinders_nobody() {
    let fixture = Fixture::new();
    let mut stream = in_transmission(&fixture);
    for _ in 0..64 {
        stream.write_all(&request(NBD_CMD_READ, 1 << 20)).unwrap();
    }
    fixture.assert_alive();
    drop(stream);
    eventually("the connection ended", || {
        fixture.server.connections().list().is_empty()
    });
}

#[test]
fn the_limit_of_connections_turns_away_and_recovers() {
    let options = ServerOptions {
        max_connections: 2,
        ..ServerOptions::default()
    };
    let fixture = Fixture::with(options, MemoryDevice::new(SIZE));
    let first = fixture.client();
    let second = fixture.client();
    assert!(drain(&mut fixture.stream()).is_empty());
    drop(first);
    eventually("a place is free", || {
        nbd::Client::open(&fixture.uri("disk")).is_ok()
    });
    second.flush().unwrap();
}
