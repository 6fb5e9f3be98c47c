//! The client before servers that do not answer, or that answer what makes no sense.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use nbd::proto::OptionReply;
use nbd::proto::constants::{NBD_OPT_GO, NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_UNSUP};
use nbd::{Address, BlockSizes, Client, Error, Fua, ServerOptions, Timeouts, Uri};

use crate::fixture::{Fixture, PATIENCE, drain, eventually};
use crate::gated::Gated;

/// Long enough for an answer that is on its way.
const LIMIT: Duration = Duration::from_millis(300);
const SHORT: Timeouts = Timeouts {
    handshake: LIMIT,
    request: LIMIT,
};

fn late(error: Option<Error>) -> &'static str {
    match error {
        Some(Error::TimedOut { operation, limit }) if limit == LIMIT => operation,
        other => panic!("not timed out: {other:?}"),
    }
}

#[test]
fn a_reply_that_does_not_come_ends_the_connection() {
    let device = Gated::new();
    let fixture = Fixture::with(ServerOptions::default(), device.clone());
    let uri = fixture.uri("disk");
    let client = Client::open_with(&uri, SHORT).unwrap();
    let began = Instant::now();
    let first = client.start_write(0, &[5; 4096], Fua::No).unwrap();
    let second = client.start_write(4096, &[5; 4096], Fua::No).unwrap();
    eventually("the write runs", || device.waiting() > 0);
    assert_eq!(late(first.wait().err()), "write");
    assert!(began.elapsed() >= LIMIT && began.elapsed() < PATIENCE);
    // The others on it are lost, and it is not used again, even when the server goes on.
    assert!(matches!(second.wait(), Err(Error::Disconnected(_))));
    device.open();
    assert!(matches!(client.flush(), Err(Error::Disconnected(_))));
    Client::open_with(&uri, SHORT).unwrap().flush().unwrap();
}

#[test]
fn a_server_that_takes_nothing_in_ends_the_connection() {
    let device = Gated::new();
    let fixture = Fixture::with(ServerOptions::default(), device.clone());
    let client = Client::open_with(&fixture.uri("disk"), SHORT).unwrap();
    let data = vec![5; 1 << 20];
    let mut pending = Vec::new();
    // The server stops reading once enough is in flight, and then the sockets are full.
    let stuck = (0..1024).find_map(|at| match client.start_write(at % 32, &data, Fua::No) {
        Ok(write) => {
            pending.push(write);
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(late(stuck), "write");
    assert!(matches!(client.flush(), Err(Error::Disconnected(_))));
    device.open();
}

/// A server of `talk`, and what the client makes of it.
fn open(timeouts: Timeouts, talk: impl FnOnce(UnixStream) + Send + 'static) -> Option<Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || talk(listener.accept().unwrap().0));
    let uri = Uri {
        address: Address::Unix(path),
        export: String::new(),
    };
    let began = Instant::now();
    let error = Client::open_with(&uri, timeouts).err();
    assert!(began.elapsed() < PATIENCE);
    server.join().unwrap();
    error
}

#[test]
fn a_handshake_is_over_in_time() {
    let silent = |mut stream: UnixStream| {
        // Until the client hangs up.
        let _ = stream.read(&mut [0]);
    };
    assert_eq!(late(open(SHORT, silent)), "the handshake");
    let endless = |mut stream: UnixStream| {
        let greeting = b"NBDMAGICIHAVEOPT\0\x03";
        stream.write_all(greeting).unwrap();
        // A reply to OPT_STRUCTURED_REPLY which is as long as may be, a byte now and then.
        let reply = *b"\0\x03\xe8\x89\x04\x55\x65\xa9\0\0\0\x08\x80\0\0\x01\0\0\x10\0";
        let _ = stream.write_all(&reply);
        let pace = Duration::from_millis(20);
        stream.set_read_timeout(Some(pace)).unwrap();
        while stream.write_all(b"x").is_ok() {
            // What the client says is of no interest; the wait is what matters.
            let _ = stream.read(&mut [0; 64]);
        }
    };
    assert_eq!(late(open(SHORT, endless)), "the handshake");
}

/// Speaks up to the answer to GO, with `answer` as all of it.
fn greeted(mut stream: UnixStream, answer: &[OptionReply]) {
    let mut bytes = b"NBDMAGICIHAVEOPT\0\x03".to_vec();
    // Structured replies are refused, so GO is next.
    let refusal = OptionReply::Error {
        code: NBD_REP_ERR_UNSUP,
        text: String::new(),
    };
    refusal.encode(NBD_OPT_STRUCTURED_REPLY, &mut bytes);
    for reply in answer {
        reply.encode(NBD_OPT_GO, &mut bytes);
    }
    // The client may have had enough.
    let _ = stream.write_all(&bytes);
    drain(&mut stream);
}

#[test]
fn block_sizes_that_fit_no_request_are_refused() {
    let sizes = BlockSizes {
        minimum: 64 << 20,
        preferred: 64 << 20,
        maximum: 128 << 20,
    };
    let export = OptionReply::Export {
        size_bytes: 1 << 30,
        flags: 1,
    };
    let answer = [export, OptionReply::BlockSize(sizes), OptionReply::Ack];
    let error = open(Timeouts::default(), move |stream| greeted(stream, &answer));
    assert!(matches!(error, Some(Error::Protocol(_))), "{error:?}");
}

#[test]
fn an_answer_without_end_is_not_kept() {
    let text = "x".repeat(60_000);
    let answer = vec![OptionReply::Description(text); 1200];
    let error = open(Timeouts::default(), move |stream| greeted(stream, &answer));
    assert!(matches!(error, Some(Error::Protocol(_))), "{error:?}");
}

#[test]
fn a_place_in_a_full_queue_is_waited_for_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let uri = Uri {
        address: Address::Unix(path),
        export: String::new(),
    };
    let began = Instant::now();
    // The first has the only place, which nobody takes it out of.
    for _ in 0..2 {
        assert_eq!(late(Client::open_with(&uri, SHORT).err()), "the handshake");
    }
    assert!(began.elapsed() < PATIENCE);
}
