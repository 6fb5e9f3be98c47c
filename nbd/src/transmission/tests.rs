//! The transmission phase, byte for byte, without sockets.

mod ahead;
mod pieces;
mod probe;
mod properties;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use self::probe::Probe;
use super::{Transmission, Verdict, tidy};
use crate::buffer::SendBuffer;
use crate::connections::Stats;
use crate::export::{Errno, Extent, Fua, Opened};
use crate::handshake::{MetaContext, Session};
use crate::memory::MemoryDevice;
use crate::proto::constants::{
    NBD_CMD_BLOCK_STATUS, NBD_CMD_CACHE, NBD_CMD_DISC, NBD_CMD_FLAG_DF, NBD_CMD_FLAG_FUA,
    NBD_CMD_FLAG_REQ_ONE, NBD_CMD_FLUSH, NBD_CMD_READ, NBD_CMD_TRIM, NBD_CMD_WRITE,
    NBD_CMD_WRITE_ZEROES, NBD_EINVAL, NBD_EIO, NBD_ENOSPC, NBD_EPERM, NBD_REPLY_TYPE_OFFSET_DATA,
};
use crate::proto::{
    CHUNK_HEADER_LENGTH, ChunkHeader, DecodedReply, ReplyHeader, Request, SIMPLE_REPLY_LENGTH,
    SimpleReply, decode_error, decode_reply, decode_status,
};
use crate::stop::StopToken;

const SIZE: u64 = 1 << 20;

struct Fixture {
    probe: Arc<Probe>,
    session: Session,
    stats: Stats,
}

/// One message of the server.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Simple(SimpleReply),
    Chunk(ChunkHeader, Vec<u8>),
}

impl Fixture {
    fn new(structured: bool) -> Self {
        Self::with(structured, MemoryDevice::new(SIZE), None)
    }

    fn with(structured: bool, disk: MemoryDevice, fails: Option<Errno>) -> Self {
        let (syncs, fua) = (AtomicU32::new(0), Mutex::default());
        let probe = Arc::new(Probe {
            disk,
            syncs,
            fua,
            fails,
            cached: Mutex::default(),
            admitted: Mutex::default(),
        });
        let opened = Opened {
            device: probe.clone(),
            description: String::new(),
            log_name: "probe".to_owned(),
            stop: StopToken::new(),
            guard: None,
        };
        let contexts = if structured {
            vec![MetaContext::BaseAllocation]
        } else {
            Vec::new()
        };
        let session = Session {
            opened,
            structured,
            contexts,
        };
        Fixture {
            probe,
            session,
            stats: Stats::default(),
        }
    }

    /// Gives all bytes at once and steps until more are wanted. The sent bytes, by batch.
    fn run(&self, input: &[u8]) -> (Vec<Vec<u8>>, Verdict) {
        let mut transmission = Transmission::new(&self.session, &self.stats);
        let (mut at, mut sent, mut out) = (0, Vec::new(), SendBuffer::default());
        loop {
            let (used, verdict) = transmission.step(&input[at..], &mut out);
            at += used;
            if !out.is_empty() {
                sent.push(out.filled().to_vec());
                out.clear();
            }
            if !matches!(verdict, Verdict::Send | Verdict::More) {
                return (sent, verdict);
            }
        }
    }

    fn replies(&self, requests: &[(Request, &[u8])]) -> Vec<Reply> {
        let (sent, verdict) = self.run(&bytes(requests));
        assert_eq!(verdict, Verdict::Need(28));
        self.parse(&sent.concat(), requests)
    }

    fn parse(&self, mut sent: &[u8], requests: &[(Request, &[u8])]) -> Vec<Reply> {
        let mut replies = Vec::new();
        while !sent.is_empty() {
            match decode_reply(sent) {
                DecodedReply::Header(ReplyHeader::Simple(reply)) => {
                    sent = &sent[SIMPLE_REPLY_LENGTH..];
                    let asked = requests
                        .iter()
                        .find(|it| it.0.cookie == reply.cookie)
                        .unwrap()
                        .0;
                    if asked.command == NBD_CMD_READ && reply.error == 0 {
                        assert!(!self.session.structured);
                        sent = &sent[asked.length as usize..];
                    }
                    replies.push(Reply::Simple(reply));
                }
                DecodedReply::Header(ReplyHeader::Chunk(header)) => {
                    let end = CHUNK_HEADER_LENGTH + header.length as usize;
                    let payload = sent[CHUNK_HEADER_LENGTH..end].to_vec();
                    replies.push(Reply::Chunk(header, payload));
                    sent = &sent[end..];
                }
                other => panic!("{other:?}"),
            }
        }
        replies
    }

    /// The error of a single request; 0 if it succeeded.
    fn errno(&self, request: Request, payload: &[u8]) -> u32 {
        match self.replies(&[(request, payload)]).as_slice() {
            [Reply::Simple(reply)] => reply.error,
            [Reply::Chunk(header, payload)] if header.is_error() => {
                decode_error(payload).unwrap().0
            }
            [Reply::Chunk(..)] => 0,
            other => panic!("not one reply: {other:?}"),
        }
    }
}

fn request(command: u16, flags: u16, cookie: u64, offset: u64, length: u64) -> Request {
    Request {
        flags,
        command,
        cookie,
        offset,
        length,
    }
}

fn bytes(requests: &[(Request, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (request, payload) in requests {
        bytes.extend_from_slice(&request.encode().unwrap());
        bytes.extend_from_slice(payload);
    }
    bytes
}

/// Steps until more is wanted; says how much of the input that took.
fn steps(transmission: &mut Transmission, input: &[u8], sent: &mut Vec<u8>) -> usize {
    let (mut at, mut out) = (0, SendBuffer::default());
    loop {
        let (used, verdict) = transmission.step(&input[at..], &mut out);
        at += used;
        sent.extend_from_slice(out.filled());
        out.clear();
        if !matches!(verdict, Verdict::Send | Verdict::More) {
            return at;
        }
    }
}

#[test]
fn what_is_written_is_read() {
    let fixture = Fixture::new(true);
    let data = [7; 4096];
    let replies = fixture.replies(&[
        (request(NBD_CMD_WRITE, 0, 1, 4096, 4096), &data),
        (request(NBD_CMD_READ, NBD_CMD_FLAG_DF, 2, 4096, 4096), &[]),
    ]);
    let [
        Reply::Simple(SimpleReply {
            error: 0,
            cookie: 1,
        }),
        Reply::Chunk(header, payload),
    ] = replies.as_slice()
    else {
        panic!("{replies:?}");
    };
    assert!(header.is_done() && header.kind == NBD_REPLY_TYPE_OFFSET_DATA && header.cookie == 2);
    assert_eq!(payload[..8], 4096u64.to_be_bytes());
    assert_eq!(payload[8..], data);
}

#[test]
fn bounds_and_flags_are_checked_as_the_specification_says() {
    for structured in [false, true] {
        let fixture = Fixture::new(structured);
        let past = [0; 8192];
        let end = SIZE - 4096;
        for (it, payload, errno) in [
            (
                request(NBD_CMD_READ, 0, 1, end, 8192),
                &past[..0],
                NBD_EINVAL,
            ),
            (
                request(NBD_CMD_READ, 0, 1, u64::MAX - 1, 8192),
                &past[..0],
                NBD_EINVAL,
            ),
            (
                request(NBD_CMD_WRITE, 0, 1, end, 8192),
                &past[..],
                NBD_ENOSPC,
            ),
            (
                request(NBD_CMD_WRITE_ZEROES, 0, 1, end, 8192),
                &past[..0],
                NBD_ENOSPC,
            ),
            (
                request(NBD_CMD_TRIM, 0, 1, end, 8192),
                &past[..0],
                NBD_EINVAL,
            ),
            (
                request(NBD_CMD_CACHE, 0, 1, end, 8192),
                &past[..0],
                NBD_EINVAL,
            ),
            (
                request(NBD_CMD_BLOCK_STATUS, 0, 1, end, 8192),
                &past[..0],
                NBD_EINVAL,
            ),
            (
                request(NBD_CMD_BLOCK_STATUS, 0, 1, 0, 0),
                &past[..0],
                NBD_EINVAL,
            ),
            (request(NBD_CMD_FLUSH, 0, 1, 0, 1), &past[..0], NBD_EINVAL),
            (
                request(NBD_CMD_READ, 1 << 12, 1, 0, 512),
                &past[..0],
                NBD_EINVAL,
            ),
            (
                request(NBD_CMD_WRITE, NBD_CMD_FLAG_DF, 1, 0, 1),
                &past[..1],
                NBD_EINVAL,
            ),
            (request(99, 0, 1, 0, 0), &past[..0], NBD_EINVAL),
            (request(NBD_CMD_READ, 0, 1, SIZE, 0), &past[..0], 0),
            (request(NBD_CMD_WRITE, 0, 1, SIZE, 0), &past[..0], 0),
        ] {
            assert_eq!(
                fixture.errno(it, payload),
                errno,
                "{it:?}, structured {structured}"
            );
        }
        let flag = fixture.errno(request(NBD_CMD_READ, NBD_CMD_FLAG_DF, 1, 0, 512), &[]);
        assert_eq!(flag, if structured { 0 } else { NBD_EINVAL });
    }
}

#[test]
fn read_only_devices_are_never_asked_to_change() {
    let fixture = Fixture::with(true, MemoryDevice::new(SIZE).into_read_only(), None);
    let data = [1; 512];
    assert_eq!(
        fixture.errno(request(NBD_CMD_WRITE, 0, 1, 0, 512), &data),
        NBD_EPERM
    );
    assert_eq!(
        fixture.errno(request(NBD_CMD_TRIM, 0, 1, 0, 512), &[]),
        NBD_EPERM
    );
    assert_eq!(
        fixture.errno(request(NBD_CMD_WRITE_ZEROES, 0, 1, 0, 512), &[]),
        NBD_EPERM
    );
    assert_eq!(fixture.errno(request(NBD_CMD_FLUSH, 0, 1, 0, 0), &[]), 0);
    assert!(fixture.probe.fua.lock().unwrap().is_empty());
}

#[test]
fn a_refused_write_leaves_the_stream_in_step() {
    let fixture = Fixture::new(false);
    let data = [1; 8192];
    let replies = fixture.replies(&[
        (request(NBD_CMD_WRITE, 0, 1, SIZE, 8192), &data),
        (request(NBD_CMD_READ, 0, 2, 0, 512), &[]),
    ]);
    assert_eq!(
        replies,
        [
            Reply::Simple(SimpleReply {
                error: NBD_ENOSPC,
                cookie: 1
            }),
            Reply::Simple(SimpleReply {
                error: 0,
                cookie: 2
            }),
        ]
    );
}

#[test]
fn a_batch_shares_one_sync_after_what_is_answered_was_sent() {
    let fixture = Fixture::new(false);
    let data = [1; 512];
    let mut batch: Vec<(Request, &[u8])> = Vec::new();
    for cookie in 0..8 {
        batch.push((request(NBD_CMD_WRITE, 0, cookie, 0, 512), &data));
        batch.push((request(NBD_CMD_FLUSH, 0, 100 + cookie, 0, 0), &[]));
        batch.push((
            request(NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 200 + cookie, 0, 512),
            &data,
        ));
    }
    let (sent, _) = fixture.run(&bytes(&batch));
    assert_eq!(fixture.probe.syncs.load(Ordering::Relaxed), 1);
    assert_eq!(
        sent.len(),
        2,
        "writes first, then all that waited for the sync"
    );
    assert_eq!(sent[0].len(), 8 * SIMPLE_REPLY_LENGTH);
    assert_eq!(sent[1].len(), 16 * SIMPLE_REPLY_LENGTH);
    assert!(
        fixture
            .probe
            .fua
            .lock()
            .unwrap()
            .iter()
            .all(|fua| *fua == Fua::No)
    );
}

#[test]
fn a_goodbye_waits_for_what_waits_for_a_sync() {
    let fixture = Fixture::new(false);
    let (sent, verdict) = fixture.run(&bytes(&[
        (request(NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 1, 0, 4), &[1; 4]),
        (request(NBD_CMD_FLUSH, 0, 2, 0, 0), &[]),
        (request(NBD_CMD_DISC, 0, 3, 0, 0), &[]),
    ]));
    assert_eq!(verdict, Verdict::Disconnect);
    assert_eq!(sent.concat().len(), 2 * SIMPLE_REPLY_LENGTH);
    assert_eq!(fixture.probe.syncs.load(Ordering::Relaxed), 1);
}

#[test]
fn a_lone_fua_write_syncs_within_the_write() {
    let fixture = Fixture::new(false);
    assert_eq!(
        fixture.errno(request(NBD_CMD_WRITE, NBD_CMD_FLAG_FUA, 1, 0, 4), &[1; 4]),
        0
    );
    assert_eq!(*fixture.probe.fua.lock().unwrap(), [Fua::Yes]);
    assert_eq!(fixture.probe.syncs.load(Ordering::Relaxed), 0);
}

#[test]
fn a_failed_sync_fails_all_that_waited_for_it() {
    let fixture = Fixture::with(false, MemoryDevice::new(SIZE), Some(Errno::Io));
    let flush = |cookie| (request(NBD_CMD_FLUSH, 0, cookie, 0, 0), &[][..]);
    let replies = fixture.replies(&[flush(1), flush(2)]);
    let failed = |cookie| {
        Reply::Simple(SimpleReply {
            error: NBD_EIO,
            cookie,
        })
    };
    assert_eq!(replies, [failed(1), failed(2)]);
}

#[test]
fn a_failed_read_sends_no_data() {
    for structured in [false, true] {
        let fixture = Fixture::with(structured, MemoryDevice::new(SIZE), Some(Errno::Io));
        assert_eq!(
            fixture.errno(request(NBD_CMD_READ, 0, 1, 0, 65536), &[]),
            NBD_EIO
        );
    }
}

#[test]
fn block_status_tells_holes_and_data() {
    let fixture = Fixture::new(true);
    let data = vec![1; 65536];
    let replies = fixture.replies(&[
        (request(NBD_CMD_WRITE, 0, 1, 65536, 65536), &data),
        (request(NBD_CMD_BLOCK_STATUS, 0, 2, 1000, 200_000), &[]),
        (
            request(
                NBD_CMD_BLOCK_STATUS,
                NBD_CMD_FLAG_REQ_ONE,
                3,
                65536,
                200_000,
            ),
            &[],
        ),
    ]);
    let [_, Reply::Chunk(_, all), Reply::Chunk(_, one)] = replies.as_slice() else {
        panic!("{replies:?}");
    };
    let hole = |length| Extent {
        length,
        hole: true,
        zero: true,
    };
    let data = Extent {
        length: 65536,
        hole: false,
        zero: false,
    };
    let expected = vec![hole(64536), data, hole(200_000 - 64536 - 65536)];
    assert_eq!(decode_status(all), Some((1, expected)));
    assert_eq!(decode_status(one), Some((1, vec![data])));
}

#[test]
fn goodbye_and_violations_end_it() {
    let fixture = Fixture::new(false);
    let goodbye = bytes(&[(request(NBD_CMD_DISC, 0, 1, 0, 0), &[])]);
    assert_eq!(fixture.run(&goodbye).1, Verdict::Disconnect);
    assert!(matches!(fixture.run(&[0; 28]).1, Verdict::Violation(_)));
    let huge = bytes(&[(request(NBD_CMD_WRITE, 0, 1, 0, u64::from(u32::MAX)), &[])]);
    assert!(matches!(fixture.run(&huge).1, Verdict::Violation(_)));
    let partial = bytes(&[(request(NBD_CMD_WRITE, 0, 1, 0, 512), &[1; 100])]);
    assert_eq!(fixture.run(&partial), (Vec::new(), Verdict::Need(540)));
}

#[test]
fn extents_are_joined_cut_and_limited() {
    let extent = |length, hole| Extent {
        length,
        hole,
        zero: hole,
    };
    let found = vec![
        extent(10, true),
        extent(0, false),
        extent(5, true),
        extent(100, false),
    ];
    assert_eq!(
        tidy(found.clone(), 50, 9),
        [extent(15, true), extent(35, false)]
    );
    assert_eq!(tidy(found.clone(), 50, 1), [extent(15, true)]);
    assert_eq!(tidy(found, 12, 9), [extent(12, true)]);
    assert_eq!(
        tidy(vec![extent(u64::MAX, true), extent(1, false)], 7, 9),
        [extent(7, true)]
    );
}
