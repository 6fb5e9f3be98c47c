//! A connection's two buffers. Both keep their memory initialised and reuse it, so that data moves
//! between the socket and the device without copies and without being zeroed each time.

use std::io::{self, Read};

/// Buffers grown beyond this are given back as soon as they are empty.
const KEEP: usize = 4 << 20;
/// Units larger than this are received to their end and no further.
const ALONE: usize = 256 << 10;

/// Bytes received and not yet consumed.
pub(crate) struct ReceiveBuffer {
    base: usize,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReceiveBuffer {
    /// A buffer of `base` bytes, which grows when a single unit needs more.
    pub(crate) fn new(base: usize) -> Self {
        // The zeroes come from the kernel a page at a time, as the pages are used.
        ReceiveBuffer {
            base,
            bytes: vec![0; base],
            start: 0,
            end: 0,
        }
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, length: usize) {
        self.start = (self.start + length).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Receives once, making room for a unit of `need` bytes at the front. The buffer grows only
    /// as bytes really arrive: a claim costs its sender as much as it costs us.
    pub(crate) fn receive(&mut self, from: &mut impl Read, need: usize) -> io::Result<usize> {
        if self.start == self.end && self.bytes.len() > KEEP {
            self.bytes = vec![0; self.base];
        }
        if self.start > 0 && self.start + need > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() {
            // No further than the unit and what a batch behind it needs.
            let enough = (self.start + need + self.base).max(self.end + 1);
            self.bytes.resize((self.end * 2).min(enough), 0);
        }
        // The start of what follows a large unit would have to be moved to the front afterwards.
        let end = match need {
            0..=ALONE => self.bytes.len(),
            _ => self.bytes.len().min(self.start + need),
        };
        let received = from.read(&mut self.bytes[self.end..end])?;
        self.end += received;
        Ok(received)
    }
}

/// Replies on their way out.
#[derive(Default)]
pub(crate) struct SendBuffer {
    bytes: Vec<u8>,
    length: usize,
}

impl SendBuffer {
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
        if self.bytes.len() > KEEP {
            self.bytes = Vec::new();
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.extend(bytes.len()).copy_from_slice(bytes);
    }

    /// Appends `length` bytes of whatever was there before, to be written over.
    pub(crate) fn extend(&mut self, length: usize) -> &mut [u8] {
        let end = self.length + length;
        if end > self.bytes.len() {
            self.bytes.resize(end.next_multiple_of(64 << 10), 0);
        }
        let slot = &mut self.bytes[self.length..end];
        self.length = end;
        slot
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::ReceiveBuffer;

    #[test]
    fn what_follows_a_large_unit_is_left_where_it_is() {
        let (base, need) = (1 << 20, (1 << 20) + 28);
        let mut buffer = ReceiveBuffer::new(base);
        for _ in 0..3 {
            buffer.receive(&mut io::repeat(7).take(28), 28).unwrap();
            while buffer.filled().len() < need {
                buffer.receive(&mut io::repeat(7), need).unwrap();
            }
            assert_eq!(buffer.filled().len(), need);
            buffer.consume(need);
        }
        buffer.receive(&mut io::repeat(7), 28).unwrap();
        assert!(buffer.filled().len() > base, "small units come together");
    }

    #[test]
    fn the_buffer_grows_with_what_arrives_and_no_further_than_it_must() {
        let (base, need) = (1 << 20, 32 << 20);
        let mut buffer = ReceiveBuffer::new(base);
        while buffer.filled().len() < need {
            buffer.receive(&mut io::repeat(7), need).unwrap();
            let arrived = buffer.filled().len();
            assert!(buffer.bytes.len() <= (2 * arrived).max(base));
        }
        assert!(buffer.bytes.len() <= need + base);
        buffer.consume(need);
        buffer.receive(&mut io::repeat(7), 28).unwrap();
        assert!(buffer.filled().iter().all(|byte| *byte == 7));
    }
}
