//! `demo`: a torrent arrives, message by message.
//!
//! A tracker, a seeder and a downloader, each a real session of its own, meet on 127.0.0.1 and use nothing but the
//! engine's public API. Everything happens in a temporary folder that is gone afterwards.

mod narrator;
mod sample;

use crate::console::Console;
use crate::create;
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::interrupt::{self, Interrupt};
use crate::paint::Paint;
use crate::runtime;
use crate::terminal;
use crate::text::counted;
use crate::units::{Rate, Size};
use engine::create::CreateTorrent;
use engine::events::{EventKind, Events};
use engine::{AddTorrent, Engine, Metainfo, Settings, Torrent, TrackerServer};
use narrator::{Narrator, Who};
use sample::Scratch;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// An address of this machine's own, with a port that is free.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// What the seeder sends per second: slow enough to watch.
const SEEDER_RATE: u64 = 2 << 20;
/// Makes 32 pieces, a map of which fits on a line.
const PIECE_LENGTH: u32 = 128 << 10;
/// Something is wrong if it is not over by then.
const TIME_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn run(console: &Console) -> Result<Exit, Failure> {
    let interrupt = interrupt::graceful(console)?;
    let scratch = Scratch::new().or_fail(kind::STORAGE, "cannot make a temporary folder")?;
    runtime()?.block_on(async {
        tokio::select! {
            shown = in_time(show(console, scratch.path())) => shown,
            () = asked(interrupt) => Ok(Exit::Interrupted),
        }
    })
}

async fn in_time(show: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::time::timeout(TIME_LIMIT, show).await.unwrap_or_else(|_| {
        Err(Failure::new(kind::STARTUP, "the demo was not over within a minute; is 127.0.0.1 filtered?"))
    })
}

async fn asked(mut interrupt: Interrupt) {
    interrupt.asked().await;
}

async fn show(console: &Console, scratch: &Path) -> Result<Exit, Failure> {
    let mut stage = Stage { console, narrator: Narrator::new(Paint::of_stdout()) };
    stage.print(&stage.narrator.title())?;

    let original = scratch.join("seeder");
    sample::write(&original).or_fail(kind::STORAGE, "cannot write the sample content")?;
    let tracker = TrackerServer::start(LOOPBACK).map_err(|error| Failure::new(error.kind(), &error))?;
    let announce = tracker.announce_url();
    let torrent = make_torrent(&original, &announce)?;
    stage.set_the_scene(&torrent, &announce)?;

    let seeder = start_engine(scratch, Some(SEEDER_RATE))?;
    let seeding = stage.seed(&seeder, torrent.clone(), &original).await?;
    let downloader = start_engine(scratch, None)?;
    let copy = scratch.join("downloader");
    let downloading = stage.download(&downloader, torrent, &copy).await?;
    stage.compare(&original, &copy, &downloading, &seeding)?;

    downloader.shutdown().await;
    seeder.shutdown().await;
    stage.print(&stage.narrator.next_steps())?;
    Ok(Exit::Done)
}

/// The torrent of the sample content, made as `rawtorrent create` makes it.
fn make_torrent(original: &Path, announce: &str) -> Result<Metainfo, Failure> {
    let content = original.join(sample::NAME);
    let recipe = CreateTorrent::new(&content).tracker(announce).piece_length(PIECE_LENGTH);
    let made = recipe.make(|_, _| {}).map_err(|error| create::failure(&error, &content))?;
    Metainfo::parse(&made.bytes).or_fail(kind::BAD_TORRENT, "cannot read the torrent just made")
}

fn start_engine(scratch: &Path, max_up: Option<u64>) -> Result<Engine, Failure> {
    let mut settings = Settings::new(scratch.join("state"));
    settings.listen = vec![LOOPBACK];
    settings.lsd = false;
    settings.max_up = max_up;
    Engine::start(settings).map_err(|error| Failure::new(error.kind(), &error))
}

/// Where the narrator's words go.
struct Stage<'a> {
    console: &'a Console,
    narrator: Narrator,
}

impl Stage<'_> {
    fn print(&self, text: &str) -> Result<(), Failure> {
        self.console.print(format!("{}\n", terminal::fitted(text, terminal::columns_of_stdout())))
    }

    fn say(&mut self, who: Who, what: &str, text: &str) -> Result<(), Failure> {
        let line = self.narrator.line(who, what, text);
        self.print(&line)
    }

    fn set_the_scene(&mut self, torrent: &Metainfo, announce: &str) -> Result<(), Failure> {
        let (files, pieces) = (torrent.files().len() as u64, torrent.lengths().piece_count());
        let (size, piece) = (Size(torrent.payload_len()), Size(PIECE_LENGTH.into()));
        let (files, counted_pieces) = (counted(files, "file"), counted(pieces.into(), "piece"));
        self.say(Who::Demo, "content", &format!("'{}': {files}, {size}", torrent.name()))?;
        self.say(Who::Demo, "torrent", &format!("{counted_pieces} of {piece}, a SHA-1 for each"))?;
        self.say(Who::Demo, "info hash", &torrent.info_hash().to_string())?;
        self.say(Who::Tracker, "listens", &format!("at {announce}"))?;
        self.narrator.expect_pieces(pieces);
        Ok(())
    }

    /// Starts the seeder and follows it until the tracker knows it.
    async fn seed(&mut self, engine: &Engine, torrent: Metainfo, dir: &Path) -> Result<Torrent, Failure> {
        let mut events = engine.events();
        self.say(Who::Seeder, "listens", &listening(engine))?;
        let add = AddTorrent::new(torrent, dir).seed_only(true);
        let seeding = engine.add(add).await.map_err(|error| Failure::new(error.kind(), &error))?;
        while let Some(event) = events.next().await {
            self.narrate(Who::Seeder, &event.kind)?;
            match event.kind {
                EventKind::Announced { .. } => break,
                EventKind::AnnounceFailed { error, .. } => {
                    return Err(Failure::new(
                        kind::STARTUP,
                        format_args!("the demo's tracker failed: {error}"),
                    ));
                }
                _ => {}
            }
        }
        Ok(seeding)
    }

    /// Starts the downloader and tells everything that it sees until all is there.
    async fn download(&mut self, engine: &Engine, torrent: Metainfo, dir: &Path) -> Result<Torrent, Failure> {
        let mut events = engine.events();
        self.say(Who::Downloader, "listens", &listening(engine))?;
        let add = AddTorrent::new(torrent, dir);
        let downloading = engine.add(add).await.map_err(|error| Failure::new(error.kind(), &error))?;
        self.until_finished(&mut events, &downloading).await?;
        Ok(downloading)
    }

    async fn until_finished(&mut self, events: &mut Events, torrent: &Torrent) -> Result<(), Failure> {
        let failed = async {
            match torrent.wait_finished().await {
                Err(error) => error,
                // The last event tells it.
                Ok(_) => std::future::pending().await,
            }
        };
        let mut failed = std::pin::pin!(failed);
        loop {
            tokio::select! {
                Some(event) = events.next() => {
                    self.narrate(Who::Downloader, &event.kind)?;
                    if matches!(event.kind, EventKind::Finished) {
                        return Ok(());
                    }
                }
                error = &mut failed => return Err(Failure::new(error.kind(), &error)),
            }
        }
    }

    fn narrate(&mut self, who: Who, event: &EventKind) -> Result<(), Failure> {
        match self.narrator.tell(who, event) {
            Some(lines) => self.print(&lines),
            None => Ok(()),
        }
    }

    /// The proof, and what it took.
    fn compare(&mut self, original: &Path, copy: &Path, down: &Torrent, up: &Torrent) -> Result<(), Failure> {
        let same = sample::same(&original.join(sample::NAME), &copy.join(sample::NAME))
            .or_fail(kind::STORAGE, "cannot compare the files")?;
        if let Some(different) = same.difference {
            return Err(Failure::new(
                kind::STORAGE,
                format_args!("{} differs from the original", different.display()),
            ));
        }
        let (down, sent) = (down.stats(), up.stats().uploaded);
        let seconds = self.narrator.seconds_on_the_wire();
        // A rate for people: a fraction of a byte more or less is nothing to them.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rate = Rate((same.bytes as f64 / seconds.max(0.001)) as u64);
        let (files, size) = (counted(same.files, "file"), Size(same.bytes));
        self.say(Who::Demo, "compared", &format!("{files}, {size}: every byte is the same"))?;
        let counts = self.narrator.counts();
        self.say(Who::Demo, "summary", &format!("{size} in {seconds:.1} s, {rate}"))?;
        self.print(&self.narrator.aside("the seeder is held back for the show"))?;
        let wasted = Size(down.wasted);
        for count in counts {
            self.say(Who::Demo, "", &count)?;
        }
        self.say(Who::Demo, "", &format!("{} sent, {wasted} in vain", Size(sent)))
    }
}

fn listening(engine: &Engine) -> String {
    engine.listen_addrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_in_time_or_says_why() {
        let moment = Duration::from_millis(1);
        for (lasts, is_in_time) in [(TIME_LIMIT - moment, true), (TIME_LIMIT + moment, false)] {
            let show = async {
                tokio::time::sleep(lasts).await;
                Ok(Exit::Done)
            };
            assert_eq!(in_time(show).await.is_ok(), is_in_time, "{lasts:?}");
        }
    }
}
