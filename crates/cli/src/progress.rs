//! How far things are, shown as a bar, as a line now and then, or as JSON events.

use crate::console::{Console, Event, Manner};
use crate::text::printable;
use crate::units::{Rate, Size, Span, grouped, percent};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a torrent's progress is looked at; bars move as often.
pub(crate) const TICK: Duration = Duration::from_millis(250);
/// A `progress` event every second.
const TICKS_PER_EVENT: u64 = 4;
/// A line for people every five seconds, the first one after a second.
const TICKS_PER_LINE: u64 = 20;
/// How often hashing says a line where there is no bar.
const HASHING_LINE_EVERY: Duration = Duration::from_secs(3);

/// Where a torrent is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) phase: Phase,
    /// Wanted bytes that are verified.
    pub(crate) done: u64,
    /// Wanted bytes.
    pub(crate) total: u64,
    /// Bytes per second.
    pub(crate) rate_down: u64,
    /// Bytes per second.
    pub(crate) rate_up: u64,
    /// Bytes sent, all runs together.
    pub(crate) uploaded: u64,
    pub(crate) peers: usize,
}

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// What is on disk is being hashed, in pieces.
    Checking {
        done: u32,
        total: u32,
    },
    Downloading,
    Seeding,
}

/// Shows one torrent's progress, in every form that was asked for.
pub(crate) struct Reporter {
    console: Console,
    info_hash: String,
    name: String,
    bar: Option<ProgressBar>,
    ticks: u64,
}

impl Reporter {
    pub(crate) fn new(console: &Console, info_hash: &str, name: &str) -> Reporter {
        let name = printable(name).into_owned();
        let bar = (console.manner() == Manner::Bars).then(|| {
            let bar = console.bars().add(ProgressBar::new(0)).with_style(torrent_style());
            bar.with_prefix(name.clone())
        });
        Reporter { console: console.clone(), info_hash: info_hash.to_owned(), name, bar, ticks: 0 }
    }

    /// To be called every [`TICK`].
    pub(crate) fn tick(&mut self, now: &Snapshot) {
        self.draw(now);
        if self.bar.is_none() && self.ticks % TICKS_PER_LINE == TICKS_PER_EVENT {
            self.console.note(format_args!("{}: {}", self.name, now.as_a_line()));
        }
        if self.ticks.is_multiple_of(TICKS_PER_EVENT) {
            self.event(now);
        }
        self.ticks += 1;
    }

    /// Not all of a torrent is there to be seeded, and no more will come.
    pub(crate) fn part(&self, have: u32, pieces: u32) {
        let (have, pieces) = (grouped(have.into()), grouped(pieces.into()));
        self.say(format_args!("incomplete, seeding the {have} of {pieces} pieces that are good"));
    }

    /// All wanted bytes are verified and durable; the bar, if any, goes on for a torrent that seeds.
    pub(crate) fn finished(&mut self, last: &Snapshot, path: &str, bytes: u64, took: Duration) {
        // The numbers may be a moment older than the end.
        let last = &Snapshot { phase: Phase::Seeding, done: last.total, ..*last };
        self.draw(last);
        self.event(last);
        // Milliseconds are as much as means something.
        let seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
        self.console.event(&Event::Finished { info_hash: &self.info_hash, path, bytes, seconds });
        self.say(format_args!("done, {} verified in {seconds:.1} s: {}", Size(bytes), printable(path)));
    }

    /// Somebody pressed Ctrl-C before it was done.
    pub(crate) fn interrupted(&self, last: &Snapshot) {
        if last.phase != Phase::Seeding {
            let share = percent(last.done, last.total);
            self.say(format_args!("interrupted at {share}; the same command goes on from there"));
        }
    }

    /// Tells people something about this torrent.
    fn say(&self, text: impl std::fmt::Display) {
        self.console.note(format_args!("{}: {text}", self.name));
    }

    fn draw(&self, now: &Snapshot) {
        let Some(bar) = &self.bar else { return };
        let (done, total) = match now.phase {
            Phase::Checking { done, total } => (done.into(), total.into()),
            Phase::Downloading | Phase::Seeding => (now.done, now.total),
        };
        bar.set_length(total);
        bar.set_position(done);
        bar.set_message(now.beside_a_bar());
    }

    fn event(&self, now: &Snapshot) {
        let Snapshot { done, total, rate_down, rate_up, peers, .. } = *now;
        self.console.event(&Event::Progress {
            info_hash: &self.info_hash,
            done,
            total,
            rate_down,
            rate_up,
            peers,
        });
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            self.console.bars().remove(bar);
        }
    }
}

impl Snapshot {
    fn as_a_line(&self) -> String {
        let (share, total) = (percent(self.done, self.total), Size(self.total));
        let peers = crate::text::counted(self.peers as u64, "peer");
        match self.phase {
            Phase::Checking { done, total } => {
                format!("checking what is there, {}", percent(done.into(), total.into()))
            }
            Phase::Downloading => {
                let left = self.time_left().map(|left| format!(", {} left", Span(left))).unwrap_or_default();
                let (down, up) = (Rate(self.rate_down), Rate(self.rate_up));
                format!("{share} of {total}, {down} down, {up} up, {peers}{left}")
            }
            Phase::Seeding => {
                format!("seeding, {} up, {} sent so far, {peers}", Rate(self.rate_up), Size(self.uploaded))
            }
        }
    }

    /// Like a line, without what the bar shows, in columns that do not jump.
    fn beside_a_bar(&self) -> String {
        match self.phase {
            Phase::Checking { .. } => format!("of {} checking what is there", Size(self.total)),
            Phase::Downloading => {
                let left = self.time_left().map_or("-".into(), |left| Span(left).to_string());
                let (down, up) = (Rate(self.rate_down), Rate(self.rate_up));
                let total = Size(self.total);
                format!("of {total:>10} {down:>12} down {up:>12} up {:>3} peers {left:>7} left", self.peers)
            }
            Phase::Seeding => {
                let (up, sent) = (Rate(self.rate_up), Size(self.uploaded));
                let total = Size(self.total);
                format!("of {total:>10} {up:>12} up {sent:>10} sent {:>3} peers, seeding", self.peers)
            }
        }
    }

    /// At the present rate; `None` where nothing arrives.
    fn time_left(&self) -> Option<Duration> {
        let left = self.total.saturating_sub(self.done);
        left.checked_div(self.rate_down).map(Duration::from_secs)
    }
}

/// Shows how much of something is hashed.
pub(crate) struct Hashing {
    console: Console,
    what: String,
    face: Face,
}

enum Face {
    Bar(ProgressBar),
    Lines { last: Mutex<Instant> },
}

impl Hashing {
    /// `what` is said before the bar: `hashing photos`.
    pub(crate) fn new(console: &Console, what: &str) -> Hashing {
        let what = printable(what).into_owned();
        let face = match console.manner() {
            Manner::Bars => {
                let bar = console.bars().add(ProgressBar::new(0)).with_style(hashing_style());
                Face::Bar(bar.with_prefix(what.clone()))
            }
            Manner::Lines | Manner::Quiet => Face::Lines { last: Mutex::new(Instant::now()) },
        };
        Hashing { console: console.clone(), what, face }
    }

    /// So many bytes of all are hashed by now; may be called from several threads.
    pub(crate) fn at(&self, done: u64, total: u64) {
        match &self.face {
            Face::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            Face::Lines { last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= HASHING_LINE_EVERY {
                    *last = Instant::now();
                    let (share, total) = (percent(done, total), Size(total));
                    self.console.note(format_args!("{}: {share} of {total}", self.what));
                }
            }
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        if let Face::Bar(bar) = &self.face {
            bar.finish_and_clear();
            self.console.bars().remove(bar);
        }
    }
}

fn torrent_style() -> ProgressStyle {
    style("{prefix:24!} {bar:24.cyan/dim} {percent:>3}% {msg}")
}

fn hashing_style() -> ProgressStyle {
    style(
        "{prefix:24!} {bar:24.cyan/dim} {percent:>3}% of {binary_total_bytes:>10} {binary_bytes_per_sec:>12} {eta:>4} left",
    )
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are tested").progress_chars("━━─")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Snapshot = Snapshot {
        phase: Phase::Downloading,
        done: 10 << 20,
        total: 100 << 20,
        rate_down: 3 << 20,
        rate_up: 0,
        uploaded: 5 << 20,
        peers: 1,
    };

    #[test]
    fn lines_for_people() {
        assert_eq!(NOW.as_a_line(), "10.0% of 100.0 MiB, 3.0 MiB/s down, 0 B/s up, 1 peer, 30s left");
        let stalled = Snapshot { rate_down: 0, peers: 0, ..NOW };
        assert_eq!(stalled.as_a_line(), "10.0% of 100.0 MiB, 0 B/s down, 0 B/s up, 0 peers");
        let checking = Snapshot { phase: Phase::Checking { done: 1, total: 3 }, ..NOW };
        assert_eq!(checking.as_a_line(), "checking what is there, 33.3%");
        let seeding = Snapshot { phase: Phase::Seeding, rate_up: 1 << 20, ..NOW };
        assert_eq!(seeding.as_a_line(), "seeding, 1.0 MiB/s up, 5.0 MiB sent so far, 1 peer");
    }

    #[test]
    fn columns_do_not_jump() {
        let widths = [0, 999, 1 << 20, 1023 << 30].map(|rate_down| {
            let now = Snapshot { rate_down, done: NOW.total, ..NOW };
            now.beside_a_bar().chars().count()
        });
        assert!(widths.iter().all(|&width| width == widths[0]), "{widths:?}");
    }

    #[test]
    fn templates_are_valid() {
        torrent_style();
        hashing_style();
    }

    #[test]
    fn time_left_of_the_impossible() {
        assert_eq!(Snapshot { rate_down: 0, ..NOW }.time_left(), None);
        assert_eq!(Snapshot { done: u64::MAX, ..NOW }.time_left(), Some(Duration::ZERO));
    }
}
