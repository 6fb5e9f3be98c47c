//! decode(encode(x)) = x, and arbitrary bytes are survived.

use std::num::NonZeroUsize;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;

use super::constants::{NBD_REP_FLAG_ERROR, NBD_REPLY_FLAG_DONE};
use super::{
    BadOption, ChunkHeader, DecodedReply, InfoRequest, MAX_LIST_ENTRIES, MAX_NAME_LENGTH,
    MetaRequest, OPTION_HEADER_LENGTH, OPTION_REPLY_HEADER_LENGTH, OptionHeader, OptionReply,
    OptionReplyHeader, OptionRequest, ReplyHeader, Request, SimpleReply, decode_error,
    decode_greeting, decode_reply, decode_status, encode_error_chunk, encode_greeting,
    encode_status,
};
use crate::export::{BlockSizes, Errno, Extent};

const ERRNOS: [Errno; 8] = [
    Errno::Perm,
    Errno::Io,
    Errno::NoMem,
    Errno::Inval,
    Errno::NoSpc,
    Errno::Overflow,
    Errno::NotSup,
    Errno::Shutdown,
];

fn options() -> impl Strategy<Value = OptionRequest> {
    let info = || {
        ("[^\u{0}]{0,40}", vec(any::<u16>(), 0..MAX_LIST_ENTRIES))
            .prop_map(|(name, infos)| InfoRequest { name, infos })
    };
    let meta = || {
        ("\\PC{0,40}", vec("\\PC{0,20}", 0..MAX_LIST_ENTRIES))
            .prop_map(|(name, queries)| MetaRequest { name, queries })
    };
    prop_oneof![
        "\\PC{0,40}".prop_map(OptionRequest::ExportName),
        Just(OptionRequest::Abort),
        Just(OptionRequest::List),
        Just(OptionRequest::StartTls),
        Just(OptionRequest::StructuredReply),
        info().prop_map(OptionRequest::Info),
        info().prop_map(OptionRequest::Go),
        meta().prop_map(OptionRequest::ListMetaContext),
        meta().prop_map(OptionRequest::SetMetaContext),
        (11..u32::MAX).prop_map(OptionRequest::Unknown),
    ]
}

fn option_replies() -> impl Strategy<Value = OptionReply> {
    prop_oneof![
        Just(OptionReply::Ack),
        ("\\PC{0,40}", "\\PC{0,40}")
            .prop_map(|(name, description)| OptionReply::Server { name, description }),
        any::<(u64, u16)>()
            .prop_map(|(size_bytes, flags)| OptionReply::Export { size_bytes, flags }),
        "\\PC{0,40}".prop_map(OptionReply::Name),
        "\\PC{0,40}".prop_map(OptionReply::Description),
        any::<(u32, u32, u32)>().prop_map(|(minimum, preferred, maximum)| {
            OptionReply::BlockSize(BlockSizes {
                minimum,
                preferred,
                maximum,
            })
        }),
        (any::<u32>(), "\\PC{0,40}").prop_map(|(id, name)| OptionReply::MetaContext { id, name }),
        (any::<u32>(), "\\PC{0,40}").prop_map(|(code, text)| OptionReply::Error {
            code: code | NBD_REP_FLAG_ERROR,
            text
        }),
    ]
}

proptest! {
    #[test]
    fn options_survive_the_wire(option in options()) {
        let bytes = option.encode();
        let header = OptionHeader::decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(header.option, option.number());
        prop_assert_eq!(header.length as usize, bytes.len() - OPTION_HEADER_LENGTH);
        let decoded = OptionRequest::decode(header.option, &bytes[OPTION_HEADER_LENGTH..]);
        prop_assert_eq!(decoded, Ok(option));
    }

    #[test]
    fn option_replies_survive_the_wire(reply in option_replies(), option: u32) {
        let mut bytes = Vec::new();
        reply.encode(option, &mut bytes);
        let (header, payload) = bytes.split_first_chunk::<OPTION_REPLY_HEADER_LENGTH>().unwrap();
        let header = OptionReplyHeader::decode(header).unwrap();
        prop_assert_eq!(header.option, option);
        prop_assert_eq!(header.length as usize, payload.len());
        prop_assert_eq!(OptionReply::decode(header.kind, payload), Some(reply));
    }

    #[test]
    fn requests_survive_the_wire(flags: u16, command: u16, cookie: u64, offset: u64, length: u32) {
        let request = Request { flags, command, cookie, offset, length: u64::from(length) };
        prop_assert_eq!(Request::decode(&request.encode().unwrap()), Some(Ok(request)));
    }

    #[test]
    fn replies_survive_the_wire(a: u32, cookie: u64, flags: u16, kind: u16) {
        let simple = SimpleReply { error: a, cookie };
        let decoded = decode_reply(&simple.encode());
        prop_assert_eq!(decoded, DecodedReply::Header(ReplyHeader::Simple(simple)));
        let chunk = ChunkHeader { flags, kind, cookie, length: a };
        let decoded = decode_reply(&chunk.encode());
        prop_assert_eq!(decoded, DecodedReply::Header(ReplyHeader::Chunk(chunk)));
        prop_assert_eq!(chunk.is_done(), flags & NBD_REPLY_FLAG_DONE != 0);
    }

    #[test]
    fn statuses_survive_the_wire(
        context: u32,
        extents in vec((1..=u64::from(u32::MAX), any::<bool>(), any::<bool>()), 1..50),
    ) {
        let extents: Vec<Extent> = extents
            .into_iter()
            .map(|(length, hole, zero)| Extent { length, hole, zero })
            .collect();
        prop_assert_eq!(decode_status(&encode_status(context, &extents)), Some((context, extents)));
    }

    #[test]
    fn error_chunks_survive_the_wire(cookie: u64, which in 0..ERRNOS.len(), text in "\\PC{0,400}") {
        let bytes = encode_error_chunk(cookie, ERRNOS[which], &text);
        let DecodedReply::Header(ReplyHeader::Chunk(header)) = decode_reply(&bytes) else {
            panic!("no chunk");
        };
        prop_assert!(header.is_error() && header.is_done());
        let payload = &bytes[super::CHUNK_HEADER_LENGTH..];
        prop_assert_eq!(payload.len(), header.length as usize);
        let (error, told) = decode_error(payload).unwrap();
        prop_assert_eq!(Errno::from_wire(error), ERRNOS[which]);
        prop_assert!(text.starts_with(&told));
    }

    #[test]
    fn arbitrary_bytes_are_survived(bytes in vec(any::<u8>(), 0..300), number in 0..12u32) {
        let _ = OptionHeader::decode(&bytes);
        let _ = OptionRequest::decode(number, &bytes);
        let _ = OptionReply::decode(number, &bytes);
        let _ = OptionReply::decode(number | NBD_REP_FLAG_ERROR, &bytes);
        let _ = Request::decode(&bytes);
        let _ = decode_reply(&bytes);
        let _ = decode_error(&bytes);
        let _ = decode_status(&bytes);
    }
}

/// What a message has become when some of its bytes were changed and its end was cut or filled up.
fn mutant(mut bytes: Vec<u8>, edits: &[(Index, u8)], len: Option<usize>) -> Vec<u8> {
    for (at, byte) in edits {
        if let Some(len) = NonZeroUsize::new(bytes.len()) {
            bytes[at.index(len.get())] = *byte;
        }
    }
    bytes.resize(len.unwrap_or(bytes.len()), 0xff);
    bytes
}

fn edits() -> impl Strategy<Value = Vec<(Index, u8)>> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0xff)];
    vec((any::<Index>(), byte), 0..6)
}

// Longer with `PROPTEST_CASES`.
proptest! {
    /// Mutants of what clients say get past the first checks: they are refused, or they mean something
    /// that can be said again.
    #[test]
    fn mutants_of_options_are_refused_or_mean_something(
        option in options(),
        edits in edits(),
        len in of(0..500_usize),
        number in of(0..12_u32),
    ) {
        let bytes = option.encode();
        let _ = OptionHeader::decode(&mutant(bytes.clone(), &edits, len));
        let payload = mutant(bytes[OPTION_HEADER_LENGTH..].to_vec(), &edits, len);
        let number = number.unwrap_or(option.number());
        if let Ok(decoded) = OptionRequest::decode(number, &payload) {
            let again = decoded.encode();
            let again = OptionRequest::decode(number, &again[OPTION_HEADER_LENGTH..]);
            prop_assert_eq!(again, Ok(decoded));
        }
    }

    #[test]
    fn mutants_of_replies_are_refused_or_mean_something(
        reply in option_replies(),
        edits in edits(),
        len in of(0..500_usize),
        cookie: u64,
    ) {
        let mut bytes = Vec::new();
        reply.encode(1, &mut bytes);
        let (header, payload) = bytes.split_first_chunk::<OPTION_REPLY_HEADER_LENGTH>().unwrap();
        let kind = OptionReplyHeader::decode(header).unwrap().kind;
        let payload = mutant(payload.to_vec(), &edits, len);
        let _ = OptionReply::decode(kind, &payload);
        let chunk = mutant(encode_error_chunk(cookie, ERRNOS[0], "text"), &edits, len);
        let _ = decode_reply(&chunk);
        let _ = decode_error(&chunk);
        let _ = decode_status(&payload);
    }

    #[test]
    fn mutants_of_requests_are_refused_or_mean_something(
        flags: u16,
        command in 0..12_u16,
        offset: u64,
        length: u32,
        edits in edits(),
    ) {
        let request = Request { flags, command, cookie: 1, offset, length: u64::from(length) };
        let bytes = mutant(request.encode().unwrap().to_vec(), &edits, None);
        if let Some(Ok(decoded)) = Request::decode(&bytes) {
            prop_assert_eq!(decoded.encode().map(|again| again.to_vec()), Some(bytes));
        }
    }
}

#[test]
fn greeting_is_as_the_specification_has_it() {
    assert_eq!(&encode_greeting(), b"NBDMAGICIHAVEOPT\x00\x03");
    assert_eq!(decode_greeting(&encode_greeting()), Some(3));
    assert_eq!(
        decode_greeting(b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\x00\x00"),
        None
    );
}

#[test]
fn a_request_has_the_specified_bytes() {
    let request = Request {
        flags: 1,
        command: 1,
        cookie: 0xaabb,
        offset: 4096,
        length: 512,
    };
    let expected = [
        0x25, 0x60, 0x95, 0x13, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0xaa, 0xbb, 0, 0, 0, 0, 0, 0, 0x10,
        0, 0, 0, 2, 0,
    ];
    assert_eq!(request.encode(), Some(expected));
    assert_eq!(
        Request {
            length: 1 << 32,
            ..request
        }
        .encode(),
        None
    );
}

#[test]
fn claims_beyond_the_payload_are_malformed_and_allocate_nothing() {
    let mut claim = 0u32.to_be_bytes().to_vec();
    claim.extend_from_slice(&u32::MAX.to_be_bytes());
    assert_eq!(OptionRequest::decode(9, &claim), Err(BadOption::Invalid));
    assert_eq!(
        OptionRequest::decode(7, &u32::MAX.to_be_bytes()),
        Err(BadOption::Invalid)
    );
    assert_eq!(decode_status(&[0; 4]), None);
    assert_eq!(decode_status(&[0; 12]), None);
    assert_eq!(decode_error(&[0, 0, 0, 5, 0xff, 0xff, b'x']), None);
}

#[test]
fn long_names_are_too_big() {
    let name = "x".repeat(MAX_NAME_LENGTH + 1);
    let option = OptionRequest::Go(InfoRequest {
        name,
        infos: Vec::new(),
    });
    let bytes = option.encode();
    let decoded = OptionRequest::decode(option.number(), &bytes[OPTION_HEADER_LENGTH..]);
    assert_eq!(decoded, Err(BadOption::TooBig));
}
