//! What the device is told of reads to come. Nothing is read here, so that no clock decides.

use std::time::Duration;

use super::{Fixture, bytes, request};
use crate::ahead::Ahead;
use crate::proto::constants::{NBD_CMD_READ, NBD_CMD_WRITE};

const FAST: Duration = Duration::from_micros(5);
const SLOW: Duration = Duration::from_millis(5);

/// What the device is told of when these requests have arrived.
fn told(fixture: &Fixture, ahead: &mut Ahead, input: &[u8]) -> Vec<(u64, u64)> {
    ahead.look(input, &*fixture.probe);
    std::mem::take(&mut fixture.probe.cached.lock().unwrap())
}

fn reads(count: u64) -> Vec<u8> {
    let reads: Vec<_> = (0..count)
        .map(|n| (request(NBD_CMD_READ, 0, n, n * 4096, 4096), &[][..]))
        .collect();
    bytes(&reads)
}

#[test]
fn reads_behind_others_are_told_of_once_reads_are_slow() {
    let (fixture, mut ahead) = (Fixture::new(false), Ahead::default());
    let input = bytes(&[
        (request(NBD_CMD_READ, 0, 1, 0, 4096), &[]),
        (request(NBD_CMD_READ, 0, 2, 8192, 4096), &[]),
        (request(NBD_CMD_WRITE, 0, 3, 0, 512), &[1; 512]),
        (request(NBD_CMD_READ, 0, 4, 1 << 40, 4096), &[]),
        (request(NBD_CMD_READ, 0, 5, 65536, 512), &[]),
    ]);
    ahead.note(4096, FAST, None);
    assert_eq!(told(&fixture, &mut ahead, &input), [], "reads are fast");
    ahead.note(4096, SLOW, None);
    let expected = [(8192, 4096), (65536, 512)];
    assert_eq!(told(&fixture, &mut ahead, &input), expected);
}

#[test]
fn what_was_told_is_not_told_again_when_more_arrives() {
    let (fixture, mut ahead) = (Fixture::new(false), Ahead::default());
    let input = reads(4);
    ahead.note(4096, SLOW, None);
    let half = &input[..2 * 28 + 14];
    assert_eq!(told(&fixture, &mut ahead, half), [(4096, 4096)]);
    ahead.passed(28);
    let expected = [(8192, 4096), (12288, 4096)];
    assert_eq!(told(&fixture, &mut ahead, &input[28..]), expected);
}

#[test]
fn looking_ahead_ends_when_reads_stay_fast() {
    let (fixture, mut ahead) = (Fixture::new(false), Ahead::default());
    let input = reads(8);
    ahead.note(4096, SLOW, None);
    for _ in 0..8 {
        assert_eq!(told(&fixture, &mut ahead, &input).len(), 7);
        ahead.passed(input.len());
        ahead.note(4096, FAST, None);
    }
    assert_eq!(told(&fixture, &mut ahead, &input), []);
}

#[test]
fn a_device_that_knows_is_believed_before_the_clock() {
    let (fixture, mut ahead) = (Fixture::new(false), Ahead::default());
    let input = reads(2);
    ahead.note(4096, SLOW, Some(7));
    ahead.note(4096, SLOW, Some(7));
    assert_eq!(told(&fixture, &mut ahead, &input), [], "from memory");
    ahead.note(4096, FAST, Some(8));
    assert_eq!(told(&fixture, &mut ahead, &input), [(4096, 4096)]);
}
