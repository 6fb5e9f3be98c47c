//! Watches over the console from outside of it, so that it ends whatever its terminal does.
//!
//! A terminal can keep whoever uses it for ever: the keyboard's reader does not come back from one
//! that was hung up, and a write not from one that nobody reads. So the console uses its terminal on
//! a thread of its own. The thread here never reads or writes the terminal while the console may; it
//! asks the kernel whether there still is one, and returns without the console when it must.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How soon the end of the terminal is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long the console may take to end by itself, with its terminal restored.
const GRACE: Duration = Duration::from_secs(1);
/// Shows the cursor and leaves the other screen.
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// Waits for the console's `end`, for `stop`, or for the terminal's end, whichever is first.
///
/// # Errors
/// The console's own; that there is no terminal any more; that the console panicked.
pub(crate) fn watch(end: &Receiver<Result<()>>, stop: &AtomicBool) -> Result<()> {
    let keys = keyboard();
    let mut stop_at = None;
    loop {
        match end.recv_timeout(LOOK_EVERY) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the console panicked"),
        }
        if is_gone(keys.as_ref()) {
            bail!("the terminal is gone");
        }
        if stop.load(Ordering::Relaxed) {
            let deadline = *stop_at.get_or_insert_with(|| Instant::now() + GRACE);
            if Instant::now() >= deadline {
                restore_by_force();
                return Ok(());
            }
        }
    }
}

/// The terminal that keys come from where standard input is none.
fn keyboard() -> Option<File> {
    (!rustix::termios::isatty(rustix::stdio::stdin()))
        .then(|| File::open("/dev/tty").ok())
        .flatten()
}

/// Whether one of the console's terminals was hung up.
fn is_gone(keys: Option<&File>) -> bool {
    let keys = keys.map_or(rustix::stdio::stdin(), |keys| keys.as_fd());
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    [keys, rustix::stdio::stdout()]
        .into_iter()
        .any(|fd| look(fd, PollFlags::empty()).intersects(gone))
}

/// What holds of `fd` now, of `wanted` and of what the kernel always tells.
fn look(fd: BorrowedFd<'_>, wanted: PollFlags) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    match poll(&mut fds, Some(&Timespec::default())) {
        Ok(_) => fds[0].revents(),
        // Interrupted, or no memory: nothing is known, and the next look is soon.
        Err(_) => PollFlags::empty(),
    }
}

/// Restores the terminal while the console is stuck in it: the mode always, the screen where that
/// does not block.
fn restore_by_force() {
    // The program is about to end, and there is nobody to tell of a terminal that refuses.
    let _: io::Result<()> = crossterm::terminal::disable_raw_mode();
    let out = rustix::stdio::stdout();
    if look(out, PollFlags::OUT).contains(PollFlags::OUT) {
        let _: rustix::io::Result<usize> = rustix::io::write(out, LEAVE);
    }
}
