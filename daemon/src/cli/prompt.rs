//! Secrets typed by people or piped in by programs; never arguments, which anybody can read.
//!
//! On a terminal nothing is echoed, and the terminal is as it was before however the reading ends.

use std::io::{self, BufRead, IsTerminal, Read};

use anyhow::{Context, Result};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Exit;
use super::output::prompt;

/// Longest secret read; longer than the service takes.
const BYTES_MAX: usize = 4096;

/// A secret that exists: typed once, or the first line of what is piped in.
pub(super) fn secret(what: &str) -> Result<String> {
    // Locked by whoever reads, and by one at a time.
    let text = match io::stdin().is_terminal() {
        true => typed(what)?,
        false => first_line(&mut io::stdin().lock())?,
    };
    not_empty(what, text)
}

/// A new secret: typed twice, or the first line of what is piped in.
pub(super) fn new_secret(what: &str) -> Result<String> {
    if !io::stdin().is_terminal() {
        return not_empty(what, first_line(&mut io::stdin().lock())?);
    }
    let text = not_empty(what, typed(what)?)?;
    match typed(&format!("{what} once more"))? == text {
        true => Ok(text),
        false => Err(Exit::Usage.because("the two do not match")),
    }
}

fn not_empty(what: &str, text: String) -> Result<String> {
    match text.is_empty() {
        true => Err(Exit::Usage.because(format_args!("{what}: nothing was given"))),
        false => Ok(text),
    }
}

/// The first line of a pipe, without its end.
fn first_line(input: &mut impl BufRead) -> Result<String> {
    let mut bytes = Vec::new();
    // One byte more than fits tells a long secret from a cut one.
    for byte in input.bytes().take(BYTES_MAX + 1) {
        match byte.context("reading standard input")? {
            b'\n' => break,
            byte => bytes.push(byte),
        }
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    text_of(bytes)
}

fn text_of(bytes: Vec<u8>) -> Result<String> {
    if bytes.len() > BYTES_MAX {
        return Err(Exit::Usage.because("that is too long"));
    }
    String::from_utf8(bytes).map_err(|_| Exit::Usage.because("that is not UTF-8"))
}

/// The terminal's settings, put back when dropped.
struct Quiet(Termios);

impl Quiet {
    /// Keys come one by one and are not shown, those that would end the program included: it ends
    /// only after the terminal is as it was.
    fn begin() -> Result<Self> {
        let before = tcgetattr(io::stdin()).context("asking the terminal")?;
        let mut quiet = before.clone();
        quiet
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).context("setting the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing is left to be done where this fails: the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

fn typed(what: &str) -> Result<String> {
    prompt(format_args!("{what}: "));
    let quiet = Quiet::begin()?;
    let typed = keys(&mut io::stdin().lock());
    drop(quiet);
    prompt("\n");
    text_of(typed?)
}

/// What the keys up to the end of the line make.
fn keys(input: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::new();
    for byte in input.bytes() {
        match byte.context("reading the terminal")? {
            b'\n' | b'\r' => return Ok(bytes),
            // Ctrl-C, Ctrl-\ and Ctrl-Z.
            0x03 | 0x1c | 0x1a => break,
            // Ctrl-D.
            0x04 if bytes.is_empty() => break,
            0x04 => return Ok(bytes),
            // Ctrl-U.
            0x15 => bytes.clear(),
            0x08 | 0x7f => erase(&mut bytes),
            _ if bytes.len() > BYTES_MAX => {}
            byte => bytes.push(byte),
        }
    }
    Err(Exit::Failure.because("interrupted"))
}

/// Takes the last character off, however many bytes it has.
fn erase(bytes: &mut Vec<u8>) {
    while let Some(byte) = bytes.pop() {
        if byte & 0xc0 != 0x80 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, first_line, keys, text_of};

    #[test]
    fn a_pipe_gives_its_first_line() {
        let line = |text: &[u8]| first_line(&mut &text[..]).map_err(|error| error.to_string());
        assert_eq!(line(b"secret\nrest"), Ok("secret".to_owned()));
        assert_eq!(line(b" secret "), Ok(" secret ".to_owned()));
        assert_eq!(line(b"secret\r\n"), Ok("secret".to_owned()));
        assert_eq!(line(b"\xff"), Err("that is not UTF-8".to_owned()));
        let long = vec![b'x'; BYTES_MAX + 2];
        assert_eq!(line(&long), Err("that is too long".to_owned()));
    }

    #[test]
    fn keys_can_be_taken_back() {
        let typed = |text: &str| keys(&mut text.as_bytes()).map(|bytes| text_of(bytes).unwrap());
        assert_eq!(typed("sé\x7fecret\r").unwrap(), "secret");
        assert_eq!(typed("wrong\x15right\n").unwrap(), "right");
        for end in ["ab\x03", "\x04", ""] {
            assert_eq!(typed(end).unwrap_err().to_string(), "interrupted");
        }
        assert_eq!(typed("ab\x04").unwrap(), "ab");
    }
}
