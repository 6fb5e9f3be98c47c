//! What holds for all requests, however they arrive.

use proptest::collection::vec;
use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{Fixture, Reply, SIZE, bytes, request, steps};
use crate::proto::constants::{NBD_CMD_DISC, NBD_CMD_FLUSH, NBD_CMD_WRITE};
use crate::transmission::Transmission;

proptest! {
    /// Arbitrary requests with arbitrary bytes behind them are survived.
    #[test]
    fn random_requests_are_survived(
        requests in vec((0..9u16, 0..64u16, 0..2 * SIZE, 0..70_000u64), 0..30),
        junk in vec(any::<u8>(), 0..40),
        structured: bool,
    ) {
        let fixture = Fixture::new(structured);
        let data = vec![3; 70_000];
        let mut input = Vec::new();
        for (cookie, (command, flags, offset, length)) in requests.into_iter().enumerate() {
            let it = request(command, flags, cookie as u64, offset, length);
            let payload = if command == NBD_CMD_WRITE { length as usize } else { 0 };
            input.extend(bytes(&[(it, &data[..payload])]));
        }
        input.extend(junk);
        let (sent, _) = fixture.run(&input);
        assert!(sent.concat().len() < 30 * 80_000);
    }

    /// However the network cuts the bytes, the same requests are answered, each once.
    #[test]
    fn cuts_do_not_matter(
        requests in vec((0..8u16, 0..2u16, 0..SIZE, 1..5000u64), 1..30),
        cuts in vec(1..6000usize, 1..200),
    ) {
        let fixture = Fixture::new(false);
        let data = vec![3; 5000];
        let mut input = Vec::new();
        let mut asked = Vec::new();
        for (cookie, (command, flags, offset, length)) in requests.into_iter().enumerate() {
            let command = if command == NBD_CMD_DISC { NBD_CMD_FLUSH } else { command };
            let it = request(command, flags, cookie as u64, offset, length);
            let payload = if command == NBD_CMD_WRITE { length as usize } else { 0 };
            input.extend(bytes(&[(it, &data[..payload])]));
            asked.push((it, &[][..]));
        }
        let (mut received, mut at, mut sent) = (0, 0, Vec::new());
        let mut transmission = Transmission::new(&fixture.session, &fixture.stats);
        for cut in cuts.into_iter().cycle() {
            received = (received + cut).min(input.len());
            at += steps(&mut transmission, &input[at..received], &mut sent);
            if received == input.len() {
                break;
            }
        }
        let mut answered: Vec<u64> = fixture
            .parse(&sent, &asked)
            .into_iter()
            .map(|reply| match reply {
                Reply::Simple(reply) => reply.cookie,
                Reply::Chunk(header, _) => header.cookie,
            })
            .collect();
        answered.sort_unstable();
        prop_assert_eq!(answered, (0..asked.len() as u64).collect::<Vec<_>>());
    }
}
