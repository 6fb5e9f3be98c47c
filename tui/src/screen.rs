//! The terminal's modes: taken when the console begins, given back however it ends.
//!
//! ratatui has guards for this, but they print what they cannot restore; where the terminal is gone
//! that panics, and inside of a panic it aborts the program.

use std::io::{self, stdout};
use std::mem::ManuallyDrop;
use std::panic;

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use ratatui::{DefaultTerminal, Frame, Terminal};

/// The terminal while it is the console's.
pub(crate) struct Screen(ManuallyDrop<DefaultTerminal>);

impl Screen {
    /// Takes the terminal. It is given back when this is dropped, and before a panic is told of.
    pub(crate) fn take() -> io::Result<Self> {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            give_back();
            told(panic);
        }));
        set_up()
            .map(|terminal| Self(ManuallyDrop::new(terminal)))
            .inspect_err(|_| give_back())
    }

    pub(crate) fn draw(&mut self, view: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(view).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn set_up() -> io::Result<DefaultTerminal> {
    enable_raw_mode()?;
    execute!(stdout(), EnterAlternateScreen)?;
    Terminal::new(CrosstermBackend::new(stdout()))
}

fn give_back() {
    // Of a terminal that is gone there is nothing to restore and nobody to tell.
    let _ = disable_raw_mode();
    let _ = execute!(stdout(), Show, LeaveAlternateScreen);
}
