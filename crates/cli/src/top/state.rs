//! What is known, and what keys do.

use super::feed::News;
use api::{Peer, Pieces, Torrent};
use engine::Event;
use engine::events::{Direction, EventKind, Said};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::{BTreeMap, VecDeque};

/// Messages that are remembered. The oldest are forgotten.
pub(super) const MAX_LINES: usize = 500;
/// Rates that are remembered, one a second. The oldest are forgotten.
pub(super) const MAX_SAMPLES: usize = 300;
/// Half seconds of which it is remembered what was asked for and what came. The oldest are forgotten.
pub(super) const MAX_SLOTS: usize = 240;
/// Connections of which that is remembered; of further ones it is not told.
pub(super) const MAX_TIMELINES: usize = 64;
/// A slot of the timeline, in milliseconds.
const SLOT_MS: u128 = 500;

/// What a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Nothing,
    End,
    /// This torrent is to be told of; `None`: only the list.
    Look(Option<String>),
}

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) host: String,
    pub(super) torrents: Vec<Torrent>,
    /// The selected row of the list.
    pub(super) selected: usize,
    /// Down and up of all, a second each, the latest last.
    pub(super) total: Rates,
    /// What the daemon can't be asked, and why.
    pub(super) away: Option<String>,
    /// The torrent that is looked at.
    pub(super) open: Option<Open>,
    /// The first list has come.
    pub(super) is_known: bool,
    /// Rows of the screen, by which a page is long.
    pub(super) rows: usize,
}

/// One torrent, from near.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) id: String,
    pub(super) peers: Vec<Peer>,
    pub(super) pieces: Option<Pieces>,
    pub(super) rates: Rates,
    pub(super) lines: VecDeque<Line>,
    pub(super) lost: u64,
    /// Why nothing is heard of it.
    pub(super) deaf: Option<String>,
    /// Messages are not shown as they come, but as they were.
    pub(super) held: bool,
    /// How many lines are passed over, from the latest.
    pub(super) back: usize,
    pub(super) timelines: BTreeMap<u64, Timeline>,
    /// The slot that is filled now.
    pub(super) slot: u128,
}

/// What was said.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) at: f64,
    pub(super) peer: String,
    pub(super) direction: Option<Direction>,
    pub(super) text: String,
}

/// Bytes per second, the latest last.
#[derive(Debug, Default)]
pub(super) struct Rates {
    pub(super) down: VecDeque<u64>,
    pub(super) up: VecDeque<u64>,
}

/// What was asked of one connection and what came, half a second each.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) slots: VecDeque<Slot>,
    /// The slot of the last one.
    last: u128,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) asked: u32,
    pub(super) came: u32,
    pub(super) refused: u32,
}

impl State {
    pub(super) fn new(host: &str) -> State {
        State { host: host.to_owned(), ..State::default() }
    }

    /// The torrent that is looked at, as the list has it.
    pub(super) fn opened(&self) -> Option<&Torrent> {
        let open = self.open.as_ref()?;
        self.torrents.iter().find(|torrent| torrent.id == open.id)
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Act {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match (key.code, &mut self.open) {
            (KeyCode::Char('q'), _) => return Act::End,
            (KeyCode::Char('c'), _) if control => return Act::End,
            (KeyCode::Esc | KeyCode::Backspace | KeyCode::Left, Some(_)) => {
                self.open = None;
                return Act::Look(None);
            }
            (KeyCode::Char(' '), Some(open)) => {
                open.held = !open.held;
                open.back = 0;
            }
            (KeyCode::Up | KeyCode::Char('k'), Some(open)) => open.scroll(1),
            (KeyCode::Down | KeyCode::Char('j'), Some(open)) => open.scroll(-1),
            (KeyCode::PageUp, Some(open)) => open.scroll(10),
            (KeyCode::PageDown, Some(open)) => open.scroll(-10),
            (KeyCode::Home, Some(open)) => open.scroll(isize::MAX),
            (KeyCode::End, Some(open)) => (open.held, open.back) = (false, 0),
            (KeyCode::Up | KeyCode::Char('k'), None) => self.selected = self.selected.saturating_sub(1),
            (KeyCode::Down | KeyCode::Char('j'), None) => self.select(self.selected + 1),
            (KeyCode::PageUp, None) => self.selected = self.selected.saturating_sub(self.page()),
            (KeyCode::PageDown, None) => self.select(self.selected + self.page()),
            (KeyCode::Home, None) => self.selected = 0,
            (KeyCode::End, None) => self.select(usize::MAX),
            (KeyCode::Enter | KeyCode::Right, None) => {
                if let Some(torrent) = self.torrents.get(self.selected) {
                    let id = torrent.id.clone();
                    self.open = Some(Open { id: id.clone(), ..Open::default() });
                    return Act::Look(Some(id));
                }
            }
            _ => {}
        }
        Act::Nothing
    }

    /// Torrents of half a screen.
    fn page(&self) -> usize {
        (self.rows / 2).max(1)
    }

    fn select(&mut self, row: usize) {
        self.selected = row.min(self.torrents.len().saturating_sub(1));
    }

    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Torrents(torrents) => {
                let selected = self.torrents.get(self.selected).map(|torrent| torrent.id.clone());
                (self.torrents, self.is_known, self.away) = (torrents, true, None);
                // The same one, wherever it is by now.
                let row = self.torrents.iter().position(|torrent| Some(&torrent.id) == selected.as_ref());
                self.select(row.unwrap_or(self.selected));
                let sum = |rate: fn(&Torrent) -> u64| self.torrents.iter().map(rate).sum();
                let (down, up) = (sum(|torrent| torrent.rate_down), sum(|torrent| torrent.rate_up));
                self.total.put(down, up);
                let rates = self.opened().map(|torrent| (torrent.rate_down, torrent.rate_up));
                if let (Some(open), Some((down, up))) = (&mut self.open, rates) {
                    open.rates.put(down, up);
                }
            }
            News::Details { id, peers, pieces } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.id == id) {
                    (open.peers, open.pieces) = (peers, pieces);
                }
            }
            News::Said(event) => {
                // A v2 info-hash is longer than an id.
                let torrent = event.torrent.to_string();
                if let Some(open) = self.open.as_mut().filter(|open| torrent.starts_with(&open.id)) {
                    open.hear(&event);
                }
            }
            News::Listening(id) => {
                if let Some(open) = self.open.as_mut().filter(|open| open.id == id) {
                    open.begin();
                }
            }
            News::Deaf { id, why } => {
                if let Some(open) = self.open.as_mut().filter(|open| open.id == id) {
                    open.deaf = Some(why.message);
                }
            }
            News::Lost(lost) => {
                if let Some(open) = &mut self.open {
                    open.lost += lost;
                }
            }
            News::Away(failure) => self.away = Some(failure.message),
        }
    }
}

impl Open {
    fn scroll(&mut self, lines: isize) {
        self.held = true;
        self.back = self.back.saturating_add_signed(lines).min(self.lines.len());
    }

    /// It is listened to from now on, maybe at a daemon that was started anew: its connections are others, and its time is
    /// another one.
    fn begin(&mut self) {
        self.timelines.clear();
        (self.slot, self.deaf) = (0, None);
    }

    fn hear(&mut self, event: &Event) {
        self.note(event);
        if self.held {
            return;
        }
        let peer = event.kind.who();
        let (at, direction, text) = (event.at.as_secs_f64(), event.kind.direction(), event.kind.to_string());
        self.lines.push_back(Line { at, peer, direction, text });
        while self.lines.len() > MAX_LINES {
            self.lines.pop_front();
        }
    }

    /// What of it belongs into the timeline.
    fn note(&mut self, event: &Event) {
        self.slot = self.slot.max(event.at.as_millis() / SLOT_MS);
        if let EventKind::Disconnected { peer, .. } = &event.kind {
            peer.number.map(|number| self.timelines.remove(&number));
        }
        let EventKind::Message { peer, said, .. } = &event.kind else { return };
        let change: fn(&mut Slot) = match said {
            Said::Request(_) => |slot| slot.asked += 1,
            Said::Piece(_) => |slot| slot.came += 1,
            Said::RejectRequest(_) => |slot| slot.refused += 1,
            _ => return,
        };
        // What others ask of us is not ours to wait for.
        let ours = match said {
            Said::Request(_) => Direction::Out,
            _ => Direction::In,
        };
        let Some(number) = peer.number.filter(|_| event.kind.direction() == Some(ours)) else { return };
        if self.timelines.len() >= MAX_TIMELINES && !self.timelines.contains_key(&number) {
            return;
        }
        let slot = self.slot;
        self.timelines.entry(number).or_default().note(slot, change);
    }
}

impl Rates {
    fn put(&mut self, down: u64, up: u64) {
        for (rates, rate) in [(&mut self.down, down), (&mut self.up, up)] {
            rates.push_back(rate);
            while rates.len() > MAX_SAMPLES {
                rates.pop_front();
            }
        }
    }
}

impl Timeline {
    fn note(&mut self, slot: u128, change: fn(&mut Slot)) {
        if self.slots.is_empty() {
            self.last = slot;
            self.slots.push_back(Slot::default());
        }
        let passed = usize::try_from(slot.saturating_sub(self.last)).unwrap_or(MAX_SLOTS).min(MAX_SLOTS);
        self.slots.extend(std::iter::repeat_n(Slot::default(), passed));
        self.last = self.last.max(slot);
        while self.slots.len() > MAX_SLOTS {
            self.slots.pop_front();
        }
        if let Some(last) = self.slots.back_mut() {
            change(last);
        }
    }

    /// The slots up to now, the latest last; `None` where nothing is remembered.
    pub(super) fn up_to(&self, now: u128, most: usize) -> Vec<Option<Slot>> {
        let passed = usize::try_from(now.saturating_sub(self.last)).unwrap_or(most).min(most);
        let quiet = std::iter::repeat_n(Some(Slot::default()), passed);
        let known: Vec<_> = self.slots.iter().copied().map(Some).chain(quiet).collect();
        let known = &known[known.len().saturating_sub(most)..];
        std::iter::repeat_n(None, most - known.len()).chain(known.iter().copied()).collect()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
