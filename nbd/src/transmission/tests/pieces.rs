//! Long reads and writes, which are handled in pieces.

use std::sync::atomic::Ordering;

use super::{Fixture, Reply, SIZE, bytes, request, steps};
use crate::buffer::SendBuffer;
use crate::export::{Device, Errno, Transfer};
use crate::memory::MemoryDevice;
use crate::proto::constants::{
    NBD_CMD_FLAG_DF, NBD_CMD_FLAG_FUA, NBD_CMD_FLUSH, NBD_CMD_READ, NBD_CMD_WRITE, NBD_EIO,
    NBD_ENOSPC,
};
use crate::proto::{REQUEST_LENGTH, SIMPLE_REPLY_LENGTH, SimpleReply, decode_error};
use crate::transmission::pieces::WRITE_PIECE;
use crate::transmission::{PIECE, Transmission, Verdict};

const LONG: u64 = 700_001;
const AT: u64 = 4097;

fn pattern(length: u64) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn succeeded(cookie: u64) -> Reply {
    Reply::Simple(SimpleReply { error: 0, cookie })
}

#[test]
fn a_long_write_is_written_as_it_arrives() {
    for cut in [1009, 4096, 65_536, 250_000, usize::MAX] {
        let fixture = Fixture::new(false);
        let data = pattern(LONG);
        let asked = [
            (request(NBD_CMD_WRITE, 0, 1, AT, LONG), &data[..]),
            (request(NBD_CMD_FLUSH, 0, 2, 0, 0), &[]),
        ];
        let input = bytes(&asked);
        let mut transmission = Transmission::new(&fixture.session, &fixture.stats);
        let (mut at, mut received, mut most, mut sent) = (0, 0_usize, 0, Vec::new());
        while at < input.len() {
            received = received.saturating_add(cut).min(input.len());
            most = most.max(received - at);
            at += steps(&mut transmission, &input[at..received], &mut sent);
        }
        assert_eq!(fixture.parse(&sent, &asked), [succeeded(1), succeeded(2)]);
        let mut found = vec![0; data.len()];
        fixture.probe.disk.read(AT, &mut found).unwrap();
        assert!(found == data, "in cuts of {cut}");
        assert!(cut == usize::MAX || most < PIECE + cut, "{most} waited");
        let admitted = fixture.probe.admitted.lock().unwrap();
        assert_eq!(
            *admitted,
            [(Transfer::Write, LONG)],
            "once, whatever its pieces"
        );
        let counts = &fixture.stats;
        assert_eq!(counts.writes.load(Ordering::Relaxed), 1);
        assert_eq!(counts.bytes_written.load(Ordering::Relaxed), LONG);
    }
}

#[test]
fn a_refused_long_write_leaves_the_stream_in_step() {
    let fixture = Fixture::new(false);
    let data = pattern(LONG);
    let replies = fixture.replies(&[
        (request(NBD_CMD_WRITE, 0, 1, SIZE - 4096, LONG), &data),
        (request(NBD_CMD_READ, 0, 2, 0, 512), &[]),
    ]);
    let error = NBD_ENOSPC;
    assert_eq!(
        replies,
        [
            Reply::Simple(SimpleReply { error, cookie: 1 }),
            succeeded(2)
        ]
    );
    assert!(
        fixture.probe.fua.lock().unwrap().is_empty(),
        "nothing was written"
    );
}

#[test]
fn a_long_write_with_fua_is_synced_once_it_is_whole() {
    let fixture = Fixture::new(false);
    let data = pattern(LONG);
    let fua = request(NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 1, 0, LONG);
    assert_eq!(fixture.replies(&[(fua, &data)]), [succeeded(1)]);
    assert_eq!(fixture.probe.syncs.load(Ordering::Relaxed), 1);
}

#[test]
fn a_flush_does_not_wait_for_the_rest_of_a_write_behind_it() {
    let fixture = Fixture::new(false);
    let data = pattern(LONG);
    let input = bytes(&[
        (request(NBD_CMD_FLUSH, 0, 1, 0, 0), &[]),
        (request(NBD_CMD_WRITE, 0, 2, 0, LONG), &data),
    ]);
    let (sent, verdict) = fixture.run(&input[..100]);
    assert_eq!(sent.concat().len(), SIMPLE_REPLY_LENGTH);
    assert!(matches!(verdict, Verdict::Need(_)));
    // Nor for all of a write that has arrived: there may be no end of them.
    let (sent, _) = fixture.run(&input);
    let lengths: Vec<usize> = sent.iter().map(Vec::len).collect();
    assert_eq!(lengths, [SIMPLE_REPLY_LENGTH; 2]);
}

#[test]
fn what_arrives_during_a_long_write_is_taken_in() {
    let fixture = Fixture::new(false);
    let data = pattern(LONG);
    let input = bytes(&[(request(NBD_CMD_WRITE, 0, 1, 0, LONG), &data)]);
    let mut transmission = Transmission::new(&fixture.session, &fixture.stats);
    let (mut at, mut out, mut times) = (0, SendBuffer::default(), 0);
    loop {
        let (used, verdict) = transmission.step(&input[at..], &mut out);
        assert!(used <= REQUEST_LENGTH + WRITE_PIECE);
        at += used;
        match verdict {
            Verdict::More => times += 1,
            verdict => break assert_eq!(verdict, Verdict::Need(REQUEST_LENGTH)),
        }
    }
    assert_eq!((at, times), (input.len(), LONG as usize / WRITE_PIECE));
}

#[test]
fn a_long_read_comes_in_pieces_where_the_client_takes_them() {
    for (structured, flags, pieces) in [
        (true, 0, (LONG as usize).div_ceil(PIECE)),
        (true, NBD_CMD_FLAG_DF, 1),
        (false, 0, 1),
    ] {
        let fixture = Fixture::new(structured);
        let data = pattern(LONG);
        let write = request(NBD_CMD_WRITE, 0, 1, AT, LONG);
        fixture.replies(&[(write, &data)]);
        let asked = [
            (request(NBD_CMD_READ, flags, 2, AT, LONG), &[][..]),
            (request(NBD_CMD_FLUSH, 0, 3, 0, 0), &[]),
        ];
        let (sent, _) = fixture.run(&bytes(&asked));
        let mut replies = fixture.parse(&sent.concat(), &asked);
        assert_eq!(replies.pop(), Some(succeeded(3)));
        assert_eq!(replies.len(), pieces);
        let mut found = Vec::new();
        for (index, reply) in replies.iter().enumerate() {
            let Reply::Chunk(header, payload) = reply else {
                continue;
            };
            assert_eq!(header.is_done(), index + 1 == pieces);
            assert_eq!(payload[..8], (AT + found.len() as u64).to_be_bytes());
            found.extend_from_slice(&payload[8..]);
        }
        assert!(!structured || found == data);
        let admitted = fixture.probe.admitted.lock().unwrap();
        assert_eq!(admitted[1..], [(Transfer::Read, LONG)]);
        assert_eq!(fixture.stats.bytes_read.load(Ordering::Relaxed), LONG);
    }
}

#[test]
fn a_long_read_that_fails_says_so_once() {
    let disk = MemoryDevice::new(SIZE);
    let fixture = Fixture::with(true, disk, Some(Errno::Io));
    let replies = fixture.replies(&[(request(NBD_CMD_READ, 0, 1, 0, LONG), &[])]);
    let [Reply::Chunk(header, payload)] = replies.as_slice() else {
        panic!("{replies:?}");
    };
    assert!(header.is_error() && header.is_done());
    assert_eq!(decode_error(payload).unwrap().0, NBD_EIO);
}
