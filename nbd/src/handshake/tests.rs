//! The handshake, byte for byte, without sockets.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{any, proptest};

use super::{Handshake, MAX_OPTIONS, Session, Step};
use crate::export::{ExportEntry, Exports, OpenError, Opened, Principal};
use crate::memory::MemoryDevice;
use crate::proto::constants::{
    NBD_FLAG_CAN_MULTI_CONN, NBD_FLAG_HAS_FLAGS, NBD_FLAG_READ_ONLY, NBD_FLAG_SEND_DF,
    NBD_FLAG_SEND_WRITE_ZEROES, NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION, NBD_INFO_NAME,
    NBD_OPTS_MAGIC, NBD_REP_ERR_INVALID, NBD_REP_ERR_POLICY, NBD_REP_ERR_SHUTDOWN,
    NBD_REP_ERR_TOO_BIG, NBD_REP_ERR_UNKNOWN, NBD_REP_ERR_UNSUP,
};
use crate::proto::{
    GREETING_LENGTH, InfoRequest, MetaRequest, OPTION_REPLY_HEADER_LENGTH, OptionReply,
    OptionReplyHeader, OptionRequest,
};
use crate::stop::StopToken;

const SIZE: u64 = 1 << 20;
const ME: Principal = Principal::Unix {
    uid: 0,
    gid: 0,
    pid: 1,
};

struct Fixture;

impl Exports for Fixture {
    fn open(&self, _: &Principal, name: &str) -> Result<Opened, OpenError> {
        let device = MemoryDevice::new(SIZE);
        let device = match name {
            "disk" | "other" => device,
            "ro" => device.into_read_only(),
            "refused" => return Err(OpenError::Refused("not for you".to_owned())),
            "two" => return Err(OpenError::Ambiguous("it is a or b".to_owned())),
            "late" => return Err(OpenError::ShuttingDown),
            _ => return Err(OpenError::Unknown),
        };
        Ok(Opened {
            device: Arc::new(device),
            description: "a disk".to_owned(),
            log_name: name.to_owned(),
            stop: StopToken::new(),
            guard: None,
        })
    }

    fn list(&self, _: &Principal) -> Vec<ExportEntry> {
        vec![ExportEntry {
            name: "disk".to_owned(),
            description: "a disk".to_owned(),
        }]
    }
}

/// Feeds one option at a time, and reads what comes back.
struct Talk<'a> {
    handshake: Handshake<'a>,
}

impl Talk<'_> {
    fn new(client_flags: u32) -> Self {
        let mut out = Vec::new();
        let mut handshake = Handshake::new(&Fixture, &ME, &mut out);
        assert_eq!(out.len(), GREETING_LENGTH);
        let (used, step) = handshake.step(&client_flags.to_be_bytes(), &mut out);
        assert!(used == 4 && matches!(step, Step::Answered));
        Talk { handshake }
    }

    fn raw(&mut self, bytes: &[u8]) -> (Vec<u8>, Step) {
        let mut out = Vec::new();
        let (_, step) = self.handshake.step(bytes, &mut out);
        (out, step)
    }

    fn ask(&mut self, request: &OptionRequest) -> (Vec<OptionReply>, Step) {
        let (out, step) = self.raw(&request.encode());
        (replies(&out), step)
    }

    fn error(&mut self, request: &OptionRequest) -> u32 {
        match self.ask(request).0.as_slice() {
            [OptionReply::Error { code, text }] if !text.is_empty() => *code,
            other => panic!("no single error: {other:?}"),
        }
    }

    fn go(&mut self, name: &str) -> Box<Session> {
        match self.ask(&OptionRequest::Go(info(name, &[]))).1 {
            Step::Ready(session) => session,
            _ => panic!("GO did not go"),
        }
    }
}

fn replies(mut bytes: &[u8]) -> Vec<OptionReply> {
    let mut found = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<OPTION_REPLY_HEADER_LENGTH>() {
        let header = OptionReplyHeader::decode(header).unwrap();
        let (payload, rest) = rest.split_at(header.length as usize);
        found.push(OptionReply::decode(header.kind, payload).unwrap());
        bytes = rest;
    }
    assert!(bytes.is_empty());
    found
}

fn info(name: &str, infos: &[u16]) -> InfoRequest {
    InfoRequest {
        name: name.to_owned(),
        infos: infos.to_vec(),
    }
}

fn meta(name: &str, queries: &[&str]) -> MetaRequest {
    let queries = queries.iter().map(|it| (*it).to_owned()).collect();
    MetaRequest {
        name: name.to_owned(),
        queries,
    }
}

#[test]
fn info_tells_what_was_asked_for_and_go_goes() {
    let mut talk = Talk::new(3);
    let asked = [
        NBD_INFO_NAME,
        NBD_INFO_DESCRIPTION,
        NBD_INFO_BLOCK_SIZE,
        999,
        NBD_INFO_NAME,
    ];
    let (told, step) = talk.ask(&OptionRequest::Info(info("disk", &asked)));
    assert!(matches!(step, Step::Answered));
    let [
        OptionReply::Export {
            size_bytes: SIZE,
            flags,
        },
        rest @ ..,
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    let wanted = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_CAN_MULTI_CONN;
    assert_eq!(flags & wanted, wanted);
    assert_eq!(flags & (NBD_FLAG_SEND_DF | NBD_FLAG_READ_ONLY), 0);
    assert_eq!(rest.len(), 4, "{rest:?}");
    assert!(!talk.go("disk").structured);
}

#[test]
fn read_only_exports_say_so() {
    let (told, _) = Talk::new(3).ask(&OptionRequest::Info(info("ro", &[])));
    let Some(OptionReply::Export { flags, .. }) = told.first() else {
        panic!("{told:?}")
    };
    assert_eq!(
        flags & (NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_WRITE_ZEROES),
        NBD_FLAG_READ_ONLY
    );
}

#[test]
fn every_refusal_has_its_code() {
    let mut talk = Talk::new(3);
    for (name, code) in [
        ("nothing", NBD_REP_ERR_UNKNOWN),
        ("", NBD_REP_ERR_UNKNOWN),
        ("refused", NBD_REP_ERR_POLICY),
        ("two", NBD_REP_ERR_INVALID),
        ("late", NBD_REP_ERR_SHUTDOWN),
    ] {
        assert_eq!(
            talk.error(&OptionRequest::Go(info(name, &[]))),
            code,
            "{name}"
        );
    }
    assert_eq!(talk.error(&OptionRequest::StartTls), NBD_REP_ERR_POLICY);
    assert_eq!(talk.error(&OptionRequest::Unknown(77)), NBD_REP_ERR_UNSUP);
    let long = "x".repeat(5000);
    assert_eq!(
        talk.error(&OptionRequest::Go(info(&long, &[]))),
        NBD_REP_ERR_TOO_BIG
    );
    talk.go("disk");
}

#[test]
fn export_name_answers_with_and_without_zeroes() {
    for (flags, length) in [(3, 10), (1, 134), (0, 134)] {
        let (out, step) =
            Talk::new(flags).raw(&OptionRequest::ExportName("disk".to_owned()).encode());
        assert!(matches!(step, Step::Ready(_)));
        assert_eq!(out.len(), length);
        assert_eq!(out[..8], SIZE.to_be_bytes());
    }
    let (out, step) = Talk::new(3).raw(&OptionRequest::ExportName("nothing".to_owned()).encode());
    assert!(out.is_empty() && matches!(step, Step::Close(_)));
}

#[test]
fn contexts_need_structured_replies_and_the_same_export() {
    let mut talk = Talk::new(3);
    let set = OptionRequest::SetMetaContext(meta("disk", &["base:allocation", "x-other:y"]));
    assert_eq!(talk.error(&set), NBD_REP_ERR_INVALID);
    assert_eq!(
        talk.ask(&OptionRequest::StructuredReply).0,
        [OptionReply::Ack]
    );
    let (told, _) = talk.ask(&set);
    assert!(matches!(
        told.as_slice(),
        [OptionReply::MetaContext { id: 1, .. }, OptionReply::Ack]
    ));
    assert_eq!(talk.go("disk").contexts.len(), 1);

    let mut talk = Talk::new(3);
    talk.ask(&OptionRequest::StructuredReply);
    talk.ask(&set);
    assert_eq!(talk.go("other").contexts.len(), 0);

    // A failed selection undoes the one before it.
    let mut talk = Talk::new(3);
    talk.ask(&OptionRequest::StructuredReply);
    talk.ask(&set);
    talk.ask(&OptionRequest::SetMetaContext(meta(
        "nothing",
        &["base:allocation"],
    )));
    assert_eq!(talk.go("disk").contexts.len(), 0);
}

#[test]
fn listings_of_contexts_know_the_wildcard() {
    let mut talk = Talk::new(3);
    talk.ask(&OptionRequest::StructuredReply);
    for (queries, found) in [
        (&[][..], 2),
        (&["base:"], 2),
        (&["base:allocation"], 2),
        (&["base:else"], 1),
        (&["x-other:"], 1),
    ] {
        let (told, _) = talk.ask(&OptionRequest::ListMetaContext(meta("disk", queries)));
        assert_eq!(told.len(), found, "{queries:?}");
    }
}

#[test]
fn list_and_abort() {
    let mut talk = Talk::new(3);
    let (told, _) = talk.ask(&OptionRequest::List);
    assert_eq!(told.len(), 2);
    let (told, step) = talk.ask(&OptionRequest::Abort);
    assert!(told == [OptionReply::Ack] && matches!(step, Step::Close(_)));
}

#[test]
fn haggling_and_claims_have_limits() {
    let mut talk = Talk::new(3);
    for _ in 0..MAX_OPTIONS {
        talk.error(&OptionRequest::Unknown(77));
    }
    assert!(matches!(talk.ask(&OptionRequest::List).1, Step::Close(_)));

    let mut claim = NBD_OPTS_MAGIC.to_be_bytes().to_vec();
    claim.extend_from_slice(&[0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff]);
    let (out, step) = Talk::new(3).raw(&claim);
    assert!(matches!(step, Step::Close(_)));
    assert!(matches!(
        replies(&out).as_slice(),
        [OptionReply::Error {
            code: NBD_REP_ERR_TOO_BIG,
            ..
        }]
    ));
    assert!(matches!(Talk::new(3).raw(&[0; 16]).1, Step::Close(_)));
}

#[test]
fn unknown_client_flags_close() {
    let mut out = Vec::new();
    let mut handshake = Handshake::new(&Fixture, &ME, &mut out);
    assert!(matches!(
        handshake.step(&[0, 0, 0, 7], &mut out).1,
        Step::Close(_)
    ));
}

proptest! {
    /// Random bytes, behind a valid option header half of the time, come to an end.
    #[test]
    fn random_bytes_are_survived(
        chunks in vec((any::<bool>(), 0..12u32, vec(any::<u8>(), 0..80)), 0..20),
    ) {
        let mut input = 3u32.to_be_bytes().to_vec();
        for (framed, option, bytes) in chunks {
            if framed {
                input.extend_from_slice(&NBD_OPTS_MAGIC.to_be_bytes());
                input.extend_from_slice(&option.to_be_bytes());
                input.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
            }
            input.extend_from_slice(&bytes);
        }
        let mut out = Vec::new();
        let mut handshake = Handshake::new(&Fixture, &ME, &mut out);
        let mut at = 0;
        while let (used, Step::Answered) = handshake.step(&input[at..], &mut out) {
            assert!(used > 0);
            at += used;
        }
    }
}
