//! `rawtorrent top`: the daemon's torrents on a screen, and of one torrent all that there is to see.
//!
//! [`state`] is what is known, and what keys do; [`view`] draws it; [`feed`] asks the daemon. What happens here is the loop
//! between them.

mod feed;
mod state;
mod view;

use crate::args::Top;
use crate::console::Console;
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::remote::{client, told};
use crate::{interrupt, runtime};
use feed::Feed;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use state::{Act, State};
use std::io::{self, IsTerminal};
use std::time::Duration;
use tokio::sync::mpsc;

/// Keys that wait to be looked at. Who types faster waits.
const MAX_KEYS: usize = 16;
/// How often the screen is drawn at most.
const FRAME: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &Top, console: &Console) -> Result<Exit, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let message = "'top' needs a terminal; 'rawtorrent list --follow' tells the same in lines";
        return Err(Failure::new(kind::USAGE, message));
    }
    if std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        let message = "'top' draws on the screen, which this terminal can't (TERM); 'rawtorrent list --follow' tells the same in lines";
        return Err(Failure::new(kind::USAGE, message));
    }
    let client = client(&args.remote)?;
    let mut interrupt = interrupt::graceful(console)?;
    let runtime = runtime()?;
    // Before the screen is taken: who can't reach the daemon reads why.
    runtime.block_on(client.about()).map_err(told)?;
    let mut terminal = ratatui::try_init().or_fail(kind::OUTPUT, "cannot take the screen")?;
    let shown = runtime.block_on(async {
        let mut state = State::new(client.host());
        let mut feed = Feed::new(client);
        let mut keys = keys(event::read);
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut dirty = true;
        loop {
            tokio::select! {
                key = keys.recv() => match key {
                    Some(Event::Key(key)) if key.kind == KeyEventKind::Press => match state.key(key) {
                        Act::End => return Ok(Exit::Done),
                        Act::Look(id) => feed.look_at(id),
                        Act::Nothing => {}
                    },
                    Some(_) => {}
                    None => return Err(Failure::new(kind::OUTPUT, "the keyboard is gone")),
                },
                news = feed.news() => state.hear(news),
                _ = frames.tick(), if dirty => {
                    dirty = false;
                    terminal.draw(|frame| {
                        state.rows = frame.area().height.into();
                        view::draw(&state, frame);
                    }).or_fail(kind::OUTPUT, "cannot draw")?;
                    continue;
                }
                () = interrupt.asked() => return Ok(Exit::Interrupted),
            }
            dirty = true;
        }
    });
    ratatui::restore();
    // The thread that reads keys ends with the program.
    runtime.shutdown_background();
    shown
}

/// What is typed, from a thread of its own: reading waits.
fn keys(read: impl Fn() -> io::Result<Event> + Send + 'static) -> mpsc::Receiver<Event> {
    let (sender, keys) = mpsc::channel(MAX_KEYS);
    std::thread::spawn(move || {
        while let Ok(event) = read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}
