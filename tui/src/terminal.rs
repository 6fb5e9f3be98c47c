//! The thin edge: events from the real terminal and from the daemon, to the state and onto the screen.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use api::client::Client;
use crossterm::event::{self, KeyEventKind};

use crate::Options;
use crate::app::{App, Effect, Event};
use crate::net::Net;
use crate::screen::Screen;
use crate::theme::Theme;
use crate::view;
use crate::watch::watch;

/// Longest time an answer or a signal waits to be noticed.
const KEY_WAIT: Duration = Duration::from_millis(50);

/// Runs the console on a thread of its own, and returns when it ends or must. A thread that is stuck
/// in a terminal is left behind: the program is to end then.
pub(crate) fn run(client: Client, options: &Options) -> Result<()> {
    let (ended, end) = sync_channel(1);
    let theirs = options.clone();
    thread::Builder::new()
        .name("console".to_owned())
        .spawn(move || {
            // Nobody listens any more when the watch returned without this thread.
            let _ = ended.send(console(client, &theirs));
        })?;
    watch(&end, &options.stop)
}

fn console(client: Client, options: &Options) -> Result<()> {
    let mut app = App::new(client.cloud().address().to_owned());
    let net = Net::start(client, options.interval)?;
    let mut screen = Screen::take().context("setting up the terminal")?;
    let theme = Theme {
        monochrome: options.monochrome,
    };
    let mut stale = true;
    while !options.stop.load(Ordering::Relaxed) {
        if stale {
            let drawn = screen.draw(|frame| view::draw(frame, &app, theme));
            drawn.context("drawing")?;
        }
        let mut events = answers(&net)?;
        events.extend(key()?);
        stale = !events.is_empty();
        for effect in events.into_iter().flat_map(|event| app.update(event)) {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Refresh => net.refresh(),
            }
        }
    }
    Ok(())
}

fn answers(net: &Net) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    loop {
        match net.events.try_recv() {
            Ok(event) => events.push(event),
            Err(TryRecvError::Empty) => return Ok(events),
            Err(TryRecvError::Disconnected) => anyhow::bail!("the asking thread has ended"),
        }
    }
}

fn key() -> Result<Option<Event>> {
    if !event::poll(KEY_WAIT).context("waiting for a key")? {
        return Ok(None);
    }
    Ok(match event::read().context("reading a key")? {
        event::Event::Key(key) if key.kind == KeyEventKind::Press => Some(Event::Key(key)),
        event::Event::Resize(..) => Some(Event::Resize),
        _ => None,
    })
}
