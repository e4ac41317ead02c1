//! How far things are, shown as a bar, as a line now and then, or as JSON events.

use crate::console::{Console, Event, Manner};
use crate::terminal;
use crate::text::printable;
use crate::units::{Rate, Size, Span, grouped, percent};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::atomic::{AtomicUsize, Ordering};
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
    /// What the torrent is, is being fetched from so many peers.
    Metadata {
        sources: usize,
        bytes: u64,
    },
    /// It is another torrent's turn.
    Waiting,
    Downloading,
    Seeding,
}

/// Shows one torrent's progress, in every form that was asked for.
pub(crate) struct Reporter {
    console: Console,
    info_hash: String,
    name: String,
    bar: Option<ProgressBar>,
    /// How the bar's line is shared out at present.
    layout: Option<Layout>,
    ticks: u64,
}

impl Reporter {
    pub(crate) fn new(console: &Console, info_hash: &str, name: &str) -> Reporter {
        let name = printable(name).into_owned();
        let bar = (console.manner() == Manner::Bars).then(|| {
            let bar = console.bars().add(ProgressBar::new(0)).with_style(Layout::default().style(""));
            bar.with_prefix(name.clone())
        });
        let info_hash = info_hash.to_owned();
        Reporter { console: console.clone(), info_hash, name, bar, layout: None, ticks: 0 }
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
    pub(crate) fn part(&mut self, last: &Snapshot, have: u32, pieces: u32) {
        self.draw(last);
        self.event(last);
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

    fn draw(&mut self, now: &Snapshot) {
        let Some(bar) = &self.bar else { return };
        let (done, total) = match now.phase {
            Phase::Checking { done, total } => (done.into(), total.into()),
            Phase::Metadata { .. } | Phase::Waiting | Phase::Downloading | Phase::Seeding => {
                (now.done, now.total)
            }
        };
        let mut rests = now.beside_a_bar();
        let widths: Vec<_> = rests.iter().map(|rest| rest.chars().count()).collect();
        let (chosen, layout) = Layout::choose(terminal::columns_for_bars(), &widths);
        let rest = chosen.map(|at| rests.swap_remove(at)).unwrap_or_default();
        if self.layout.replace(layout) != Some(layout) {
            bar.set_style(layout.style("{msg}"));
        }
        bar.set_message(rest);
        bar.set_length(total);
        bar.set_position(done);
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
            Phase::Metadata { sources, bytes } => {
                let come = if bytes > 0 { format!(", {} so far", Size(bytes)) } else { String::new() };
                let from = crate::text::counted(sources as u64, "peer");
                format!("fetching metadata from {from}{come}, {peers} connected")
            }
            Phase::Waiting if self.total == 0 => "waiting for its turn".into(),
            Phase::Waiting => format!("{share} of {total}, waiting for its turn"),
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

    /// Like a line, without what the bar shows, in columns that do not jump; what says most first, for wide terminals.
    fn beside_a_bar(&self) -> Vec<String> {
        let (down, up) = (Rate(self.rate_down), Rate(self.rate_up));
        let (total, sent) = (Size(self.total), Size(self.uploaded));
        let peers = format!("{:>3} {:<5}", self.peers, if self.peers == 1 { "peer" } else { "peers" });
        match self.phase {
            Phase::Checking { .. } => vec![format!("of {total} checking what is there"), "checking".into()],
            Phase::Metadata { sources, .. } => {
                vec![format!("fetching metadata from {sources:>3} of {peers}"), "fetching metadata".into()]
            }
            Phase::Waiting => vec![format!("of {total} waiting for its turn"), "waiting".into()],
            Phase::Downloading => {
                let left = self.time_left().map_or("-".into(), |left| Span(left).to_string());
                vec![
                    format!("of {total:>10} {down:>12} down {up:>12} up {peers} {left:>7} left"),
                    format!("{total:>10} {down:>12} {peers} {left:>7} left"),
                    format!("{down:>12} {left:>7} left"),
                    format!("{down:>12}"),
                ]
            }
            Phase::Seeding => vec![
                format!("of {total:>10} {up:>12} up {sent:>10} sent {peers} seeding"),
                format!("{up:>12} up {peers} seeding"),
                format!("{up:>12} up"),
                "seeding".into(),
            ],
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
    /// With the width of the terminal that it is laid out for.
    Bar(ProgressBar, AtomicUsize),
    Lines {
        last: Mutex<Instant>,
    },
}

impl Hashing {
    /// `what` is said before the bar: `hashing photos`.
    pub(crate) fn new(console: &Console, what: &str) -> Hashing {
        let what = printable(what).into_owned();
        let face = match console.manner() {
            Manner::Bars => {
                let columns = terminal::columns_for_bars();
                let bar = console.bars().add(ProgressBar::new(0)).with_style(hashing_style(columns));
                Face::Bar(bar.with_prefix(what.clone()), columns.into())
            }
            Manner::Lines | Manner::Quiet => Face::Lines { last: Mutex::new(Instant::now()) },
        };
        Hashing { console: console.clone(), what, face }
    }

    /// So many bytes of all are hashed by now; may be called from several threads.
    pub(crate) fn at(&self, done: u64, total: u64) {
        match &self.face {
            Face::Bar(bar, laid_out_for) => {
                let columns = terminal::columns_for_bars();
                if laid_out_for.swap(columns, Ordering::Relaxed) != columns {
                    bar.set_style(hashing_style(columns));
                }
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
        if let Face::Bar(bar, _) = &self.face {
            bar.finish_and_clear();
            self.console.bars().remove(bar);
        }
    }
}

/// How a bar's line is shared out over the width of the terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    /// Columns for the name; 0 leaves it out, as with the others.
    name: usize,
    /// Columns for the bar itself.
    bar: usize,
    has_percent: bool,
    has_rest: bool,
}

impl Layout {
    /// `100%`
    const PERCENT: usize = 4;
    const NAME: std::ops::RangeInclusive<usize> = 8..=24;
    const BAR: std::ops::RangeInclusive<usize> = 6..=24;

    /// The first of the `rests`, given by their widths, beside which name and bar fit, and their share; without a rest
    /// where none fits.
    fn choose(room: usize, rests: &[usize]) -> (Option<usize>, Layout) {
        let full = rests.iter().enumerate().find_map(|(at, rest)| {
            let spare = room.checked_sub(Layout::PERCENT + 1 + rest + 2)?;
            let bar_gets = |spare: usize| (spare * 2 / 5).clamp(*Layout::BAR.start(), *Layout::BAR.end());
            let (bar, least) = (bar_gets(spare), Layout::NAME.start() + Layout::BAR.start());
            let name = spare.saturating_sub(bar).min(*Layout::NAME.end());
            (spare >= least).then_some((Some(at), Layout { name, bar, has_percent: true, has_rest: true }))
        });
        full.unwrap_or_else(|| {
            let has_percent = room >= Layout::PERCENT;
            // A name of less than a few letters tells nothing.
            let spare = room.saturating_sub(Layout::PERCENT + 1);
            let name = if spare < 4 { 0 } else { spare.min(*Layout::NAME.end()) };
            (None, Layout { name, bar: 0, has_percent, has_rest: false })
        })
    }

    /// For indicatif; `rest` is the template of what stands behind the percentage.
    fn style(self, rest: &str) -> ProgressStyle {
        let part = |width: usize, template: String| if width > 0 { template } else { String::new() };
        let mut template = part(self.name, format!("{{prefix:{}!}} ", self.name));
        template += &part(self.bar, format!("{{bar:{}.cyan/dim}} ", self.bar));
        template += if self.has_percent { "{percent:>3}%" } else { "" };
        if self.has_rest {
            template = template + " " + rest;
        }
        ProgressStyle::with_template(&template).expect("the templates are tested").progress_chars("━━─")
    }
}

/// What stands behind the percentage of a hashing bar, with its width.
const HASHING_RESTS: [(&str, usize); 2] = [
    ("of {binary_total_bytes:>11} {binary_bytes_per_sec:>13} {eta:>4} left", 3 + 11 + 1 + 13 + 1 + 4 + 5),
    ("{eta:>4} left", 4 + 5),
];

fn hashing_style(columns: usize) -> ProgressStyle {
    let (chosen, layout) = Layout::choose(columns, &HASHING_RESTS.map(|(_, width)| width));
    layout.style(chosen.map_or("", |at| HASHING_RESTS[at].0))
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
        let waiting = Snapshot { phase: Phase::Waiting, ..NOW };
        assert_eq!(waiting.as_a_line(), "10.0% of 100.0 MiB, waiting for its turn");
        let seeding = Snapshot { phase: Phase::Seeding, rate_up: 1 << 20, ..NOW };
        assert_eq!(seeding.as_a_line(), "seeding, 1.0 MiB/s up, 5.0 MiB sent so far, 1 peer");
    }

    #[test]
    fn columns_do_not_jump() {
        let widths = [0, 999, 1 << 20, 1023 << 30].map(|rate_down| {
            let now = Snapshot { rate_down, done: NOW.total, ..NOW };
            now.beside_a_bar().iter().map(|rest| rest.chars().count()).collect::<Vec<_>>()
        });
        assert!(widths.iter().all(|width| *width == widths[0]), "{widths:?}");
        let peers = |peers| Snapshot { peers, ..NOW }.beside_a_bar().remove(0);
        assert!(peers(1).contains("  1 peer  ") && peers(2).contains("  2 peers "), "{}", peers(1));
        assert_eq!(peers(1).len(), peers(2).len());
    }

    #[test]
    fn bars_fit_every_terminal() {
        let phases =
            [Phase::Waiting, Phase::Downloading, Phase::Seeding, Phase::Checking { done: 1, total: 2 }];
        for columns in 0..300 {
            for phase in phases {
                let rests =
                    Snapshot { phase, ..NOW }.beside_a_bar().iter().map(String::len).collect::<Vec<_>>();
                let (chosen, layout) = Layout::choose(columns, &rests);
                let with_space = |width: usize| if width == 0 { 0 } else { width + 1 };
                let rest = chosen.map_or(0, |at| 1 + rests[at]);
                let percent = if layout.has_percent { 4 } else { 0 };
                let width = with_space(layout.name) + with_space(layout.bar) + percent + rest;
                assert!(width <= columns, "{width} on {columns}: {layout:?}");
                layout.style("{msg}");
            }
            hashing_style(columns);
        }
    }

    #[test]
    fn the_usual_terminal_shows_what_matters() {
        let rests = NOW.beside_a_bar();
        let widths: Vec<_> = rests.iter().map(String::len).collect();
        let shown = |columns| Layout::choose(columns, &widths).0.map_or("", |at| &rests[at]);
        assert_eq!(shown(77), " 100.0 MiB    3.0 MiB/s   1 peer      30s left");
        assert_eq!(shown(140), rests[0]);
        assert_eq!((shown(37), shown(20)), ("   3.0 MiB/s", ""));
    }

    #[test]
    fn time_left_of_the_impossible() {
        assert_eq!(Snapshot { rate_down: 0, ..NOW }.time_left(), None);
        assert_eq!(Snapshot { done: u64::MAX, ..NOW }.time_left(), Some(Duration::ZERO));
    }
}
