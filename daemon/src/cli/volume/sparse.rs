//! Where a file has data, and where data is not just zeroes.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Zeroes are looked for in blocks of this size, which is the volumes' own.
const BLOCK_BYTES: usize = 4096;
/// Shorter runs of zero blocks are sent along: a request costs more than they do.
const GAP_BLOCKS: usize = 8;

/// The ranges of a file that may hold something else than zeroes, in order.
///
/// The file system says which; where it cannot, everything does. The file's position moves.
pub(super) struct DataRanges<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl<'a> DataRanges<'a> {
    /// Those between 0 and `end`.
    pub(super) fn new(file: &'a File, end: u64) -> Self {
        Self { file, at: 0, end }
    }

    fn following(&self) -> io::Result<Option<Range<u64>>> {
        let start = match seek(self.file, SeekFrom::Data(self.at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(self.at..self.end)),
            Err(error) => return Err(error.into()),
        };
        if start >= self.end {
            return Ok(None);
        }
        let stop = seek(self.file, SeekFrom::Hole(start))?.min(self.end);
        Ok((stop > start).then_some(start..stop))
    }
}

impl Iterator for DataRanges<'_> {
    type Item = io::Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let found = self.following().transpose();
        self.at = match &found {
            Some(Ok(range)) => range.end,
            Some(Err(_)) | None => self.end,
        };
        found
    }
}

/// The parts of `data` that are worth sending, in whole blocks but for the end: long runs of zero
/// blocks are left out.
pub(super) fn worthwhile(data: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (number, block) in data.chunks(BLOCK_BYTES).enumerate() {
        if is_zero(block) {
            continue;
        }
        let start = number * BLOCK_BYTES;
        let end = start + block.len();
        match runs.last_mut() {
            Some(last) if start - last.end < GAP_BLOCKS * BLOCK_BYTES => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// Whether there is nothing but zeroes.
pub(super) fn is_zero(data: &[u8]) -> bool {
    data.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::os::unix::fs::FileExt;

    use super::{BLOCK_BYTES, DataRanges, GAP_BLOCKS, worthwhile};

    #[test]
    fn ranges_cover_all_data_and_no_long_hole() {
        let file = tempfile::tempfile().unwrap();
        let length = 64 << 20;
        file.set_len(length).unwrap();
        for offset in [0, 32 << 20, length - 5] {
            file.write_all_at(b"data!", offset).unwrap();
        }
        let ranges: Vec<Range<u64>> = DataRanges::new(&file, length)
            .collect::<Result<_, _>>()
            .unwrap();
        for offset in [0, 32 << 20, length - 1] {
            assert!(ranges.iter().any(|range| range.contains(&offset)));
        }
        assert!(ranges.iter().all(|range| range.end <= length));
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        // Every file system of a test machine knows holes; even then its blocks may be large.
        assert!(total < length / 2, "{ranges:?}");
    }

    #[test]
    fn an_empty_file_and_a_bare_hole_have_no_data() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(DataRanges::new(&file, 0).count(), 0);
        file.set_len(1 << 20).unwrap();
        assert_eq!(DataRanges::new(&file, 1 << 20).count(), 0);
    }

    #[test]
    fn short_gaps_are_sent_and_long_ones_left_out() {
        let mut data = vec![0; 40 * BLOCK_BYTES + 10];
        assert!(worthwhile(&data).is_empty());
        data[0] = 1;
        data[GAP_BLOCKS * BLOCK_BYTES] = 1;
        data[30 * BLOCK_BYTES] = 1;
        data[40 * BLOCK_BYTES + 9] = 1;
        let expected = [
            0..(GAP_BLOCKS + 1) * BLOCK_BYTES,
            30 * BLOCK_BYTES..31 * BLOCK_BYTES,
            40 * BLOCK_BYTES..40 * BLOCK_BYTES + 10,
        ];
        assert_eq!(worthwhile(&data), expected);
    }
}
