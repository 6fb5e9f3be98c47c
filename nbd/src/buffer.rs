//! A connection's two buffers. Both keep their memory initialised and reuse it, so that data moves
//! between the socket and the device without copies and without being zeroed each time.

use std::io::{self, Read};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::Socket;

/// Buffers grown beyond this are given back as soon as they are empty.
const KEEP: usize = 4 << 20;
/// Less room than this is not worth asking for more.
const LEAST_ROOM: usize = 64 << 10;
/// What is moved to the front before more is received.
const LITTLE: usize = 4096;

/// Bytes received and not yet consumed.
pub(crate) struct ReceiveBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReceiveBuffer {
    /// A buffer for units of up to `bytes` bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        // The zeroes come from the kernel a page at a time, as the pages are used.
        ReceiveBuffer {
            bytes: vec![0; bytes],
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

    /// Receives once, making room for a unit of `need` bytes at the front.
    pub(crate) fn receive(&mut self, from: &mut impl Read, need: usize) -> io::Result<usize> {
        // The front is in the processor's cache, so a little is moved there for the rest to follow.
        if self.end - self.start <= LITTLE || self.start + need > self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let received = from.read(&mut self.bytes[self.end..])?;
        self.end += received;
        Ok(received)
    }

    /// Takes in what has arrived already, as far as there is room behind the rest. The end of the
    /// stream is left for [`Self::receive`] to find.
    pub(crate) fn take_in(&mut self, socket: &Socket) -> io::Result<()> {
        let room = &mut self.bytes[self.end..];
        if room.len() < LEAST_ROOM {
            return Ok(());
        }
        match recv(socket, room, RecvFlags::DONTWAIT) {
            Ok((bytes, _)) => self.end += bytes,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
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
    use std::io::Write;

    use socket2::{Domain, Socket, Type};

    use super::{LEAST_ROOM, ReceiveBuffer};

    #[test]
    fn what_has_arrived_is_taken_in_as_far_as_there_is_room() {
        let (mut client, server) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut buffer = ReceiveBuffer::new(2 * LEAST_ROOM);
        buffer.take_in(&server).unwrap();
        assert!(buffer.filled().is_empty(), "it does not wait");
        let sent: Vec<u8> = (0..=255).cycle().take(LEAST_ROOM + 1).collect();
        client.write_all(&sent[..100]).unwrap();
        buffer.receive(&mut &server, 28).unwrap();
        client.write_all(&sent[100..]).unwrap();
        buffer.take_in(&server).unwrap();
        assert!(buffer.filled() == sent);
        client.write_all(&[7; 100]).unwrap();
        buffer.take_in(&server).unwrap();
        assert!(buffer.filled() == sent, "there is little room left");
        buffer.consume(sent.len());
        drop(client);
        buffer.take_in(&server).unwrap();
        assert_eq!(buffer.filled(), [7; 100]);
        buffer.take_in(&server).unwrap();
        assert_eq!(buffer.receive(&mut &server, 28).unwrap(), 0);
    }

    #[test]
    fn units_are_put_together_wherever_they_were_cut() {
        let (size, unit) = (4 << 10, 1000);
        let mut source = (0..=255u8).cycle().take(1 << 20);
        let mut expected = source.clone();
        let mut buffer = ReceiveBuffer::new(size);
        for round in 0.. {
            let mut some = source.by_ref().take(700 + round % 900).collect::<Vec<u8>>();
            if some.is_empty() {
                break;
            }
            while !some.is_empty() {
                let taken = buffer.receive(&mut &some[..], unit).unwrap();
                assert!(taken > 0, "there is always room for a unit");
                some.drain(..taken);
                while buffer.filled().len() >= unit {
                    let found = &buffer.filled()[..unit];
                    assert!(
                        found
                            .iter()
                            .eq(expected.by_ref().take(unit).collect::<Vec<_>>().iter())
                    );
                    buffer.consume(unit);
                }
            }
        }
    }
}
