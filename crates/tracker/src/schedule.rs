//! Whom to announce to, when, and with which event (BEP 3, 12, 31).
//!
//! A *round* starts when the last answer's interval is over (or peers are needed, or the torrent starts) and ends with
//! the first answer. It goes through the tiers in order, and within a tier through its trackers in order, which was
//! shuffled once; the tracker that answers moves to the front of its tier (BEP 12). Three rules bend that order:
//!
//! * a tracker that failed is passed over until its back-off ends;
//! * a tracker that answered is waited for until its min interval is over, never passed over;
//! * a tier that leaves an announce unanswered for [`TIER_PATIENCE`] no longer holds up the next one.
//!
//! At most one announce is in flight in each tier. What each tracker is told:
//!
//! | the tracker | is told |
//! |---|---|
//! | has not acknowledged `started` | `started`, in a round |
//! | has | nothing, in a round |
//! | has, or was being told, when the download finished | `completed`, at once, until it acknowledges it |
//! | has, when the torrent stops | `stopped`, at once, one attempt |

use crate::limits::{
    BACKOFF_FIRST, BACKOFF_MAX, DEFAULT_INTERVAL, DEFAULT_MIN_INTERVAL, MAX_INTERVAL, MAX_TRACKERS,
    MIN_INTERVAL, NUMWANT, TIER_PATIENCE,
};
use crate::{AnnounceResponse, Event, TrackerUrl};
use alloc::vec::Vec;
use core::time::Duration;
use types::Time;

/// The number of a tracker within its schedule, in the order of the torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerId(usize);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The torrent starts, or starts again: every tracker is new.
    Started,
    /// The download has just finished. Not for one that was complete when it started.
    Completed,
    /// More peers would be welcome: announce as soon as min intervals and back-offs allow.
    NeedPeers,
    /// The torrent stops. The driver drops the announces that are in flight; their outcomes are not to be handed in.
    Stop,
    /// This tracker answered the announce that is in flight to it.
    Response(TrackerId, &'a AnnounceResponse),
    /// The announce in flight to this tracker failed; `retry_in` is what the tracker itself asked for (BEP 31).
    Failed {
        /// The tracker.
        tracker: TrackerId,
        /// Do not ask again before; bounded by [`MAX_INTERVAL`].
        retry_in: Option<Duration>,
    },
}

/// An announce that is to be made now. The driver owes a [`Input::Response`] or [`Input::Failed`] for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// To whom.
    pub tracker: TrackerId,
    /// Its URL.
    pub url: TrackerUrl,
    /// What to tell.
    pub event: Option<Event>,
    /// What the tracker called itself, to be sent back.
    pub tracker_id: Option<Vec<u8>>,
    /// How many peers to ask for.
    pub numwant: u32,
}

/// A tracker as it stands, for people to look at.
#[derive(Clone, Copy, Debug)]
pub struct TrackerView<'a> {
    /// Its number.
    pub id: TrackerId,
    /// Its URL.
    pub url: &'a TrackerUrl,
    /// The number of its tier, from 0.
    pub tier: usize,
    /// Whether it acknowledged `started`, so that it lists us.
    pub is_listing_us: bool,
    /// How often in a row it failed.
    pub failures: u32,
    /// Whether an announce to it is in flight.
    pub is_in_flight: bool,
    /// When it may be announced to next: not before, and later if another tracker of its round answers. [`Time::MAX`] if that is
    /// not known.
    pub not_before: Time,
}

/// The schedule of one torrent's announces. Deterministic: the same seed and inputs give the same announces.
#[derive(Debug)]
pub struct Schedule {
    tiers: Vec<Tier>,
    phase: Phase,
    /// When the next round starts; in the past while a round is open.
    round_at: Time,
    rng: fastrand::Rng,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Running,
    Stopping,
}

#[derive(Debug)]
struct Tier {
    trackers: Vec<Tracker>,
    in_flight: Option<InFlight>,
}

#[derive(Clone, Copy, Debug)]
struct InFlight {
    tracker: TrackerId,
    event: Option<Event>,
    since: Time,
}

#[derive(Debug)]
struct Tracker {
    id: TrackerId,
    url: TrackerUrl,
    tracker_id: Option<Vec<u8>>,
    lists_us: bool,
    owes_completed: bool,
    failures: u32,
    /// When it may be announced to in a round: after its min interval, or its back-off if it failed.
    not_before: Time,
}

/// What is announced next if nothing else happens.
#[derive(Clone, Copy)]
struct Next {
    at: Time,
    tier: usize,
    position: usize,
    event: Option<Event>,
}

impl Schedule {
    /// A schedule that waits for [`Input::Started`]; trackers beyond [`MAX_TRACKERS`] are left out.
    pub fn new(tiers: Vec<Vec<TrackerUrl>>, seed: u64) -> Schedule {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut ids = (0..MAX_TRACKERS).map(TrackerId);
        let new_tier = |urls: Vec<TrackerUrl>| {
            // `ids` first: `zip` would swallow a number for the URL that is not there.
            let mut trackers: Vec<_> =
                urls.into_iter().map_while(|url| ids.next().map(|id| Tracker::new(id, url))).collect();
            rng.shuffle(&mut trackers);
            Tier { trackers, in_flight: None }
        };
        let tiers = tiers.into_iter().map(new_tier).filter(|tier| !tier.trackers.is_empty()).collect();
        Schedule { tiers, phase: Phase::Idle, round_at: Time::MAX, rng }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        match input {
            Input::Started => self.start(now),
            Input::Completed => self.complete(),
            Input::NeedPeers => self.round_at = self.round_at.min(now),
            Input::Stop => self.stop(),
            Input::Response(tracker, response) => self.answered(now, tracker, response),
            Input::Failed { tracker, retry_in } => self.failed(now, tracker, retry_in),
        }
    }

    /// The next announce to make, if one is due; to be called until there is none.
    pub fn poll(&mut self, now: Time) -> Option<Due> {
        let next = self.next().filter(|next| next.at <= now)?;
        let tier = &mut self.tiers[next.tier];
        let tracker = &tier.trackers[next.position];
        tier.in_flight = Some(InFlight { tracker: tracker.id, event: next.event, since: now });
        Some(Due {
            tracker: tracker.id,
            url: tracker.url.clone(),
            event: next.event,
            tracker_id: tracker.tracker_id.clone(),
            numwant: if next.event == Some(Event::Stopped) { 0 } else { NUMWANT },
        })
    }

    /// When to call [`Schedule::poll`] next if nothing happens; [`Time::MAX`] if only an input can make an announce due.
    pub fn poll_timeout(&self) -> Time {
        self.next().map_or(Time::MAX, |next| next.at)
    }

    /// Whether, after [`Input::Stop`], every tracker that lists us was told.
    pub fn is_stopped(&self) -> bool {
        let told = |tier: &Tier| tier.in_flight.is_none() && !tier.trackers.iter().any(|t| t.lists_us);
        self.phase != Phase::Running && self.tiers.iter().all(told)
    }

    /// The trackers, in the order in which they are tried.
    pub fn trackers(&self) -> impl Iterator<Item = TrackerView<'_>> {
        let round_at = if self.phase == Phase::Running { self.round_at } else { Time::MAX };
        self.tiers.iter().enumerate().flat_map(move |(tier, t)| {
            let in_flight = t.in_flight.map(|f| f.tracker);
            t.trackers.iter().map(move |t| TrackerView {
                id: t.id,
                url: &t.url,
                tier,
                is_listing_us: t.lists_us,
                failures: t.failures,
                is_in_flight: in_flight == Some(t.id),
                not_before: t.not_before.max(round_at),
            })
        })
    }

    fn start(&mut self, now: Time) {
        self.phase = Phase::Running;
        self.round_at = now;
        for tier in &mut self.tiers {
            tier.in_flight = None;
            for tracker in &mut tier.trackers {
                tracker.lists_us = false;
                tracker.owes_completed = false;
                if tracker.failures == 0 {
                    tracker.not_before = Time::ZERO;
                }
            }
        }
    }

    fn complete(&mut self) {
        for tier in &mut self.tiers {
            let being_told = tier.in_flight.filter(|f| f.event == Some(Event::Started)).map(|f| f.tracker);
            for tracker in &mut tier.trackers {
                tracker.owes_completed = tracker.lists_us || being_told == Some(tracker.id);
            }
        }
    }

    fn stop(&mut self) {
        self.phase = Phase::Stopping;
        self.round_at = Time::MAX;
        for tier in &mut self.tiers {
            tier.in_flight = None;
        }
    }

    fn answered(&mut self, now: Time, tracker: TrackerId, response: &AnnounceResponse) {
        let Some((tier, position, event)) = self.landed(tracker) else { return };
        let (interval, min_interval) = intervals(response);
        let tracker = &mut tier.trackers[position];
        tracker.failures = 0;
        tracker.not_before = now + min_interval;
        if let Some(id) = &response.tracker_id {
            tracker.tracker_id = Some(id.clone());
        }
        match event {
            Some(Event::Stopped) => tracker.lists_us = false,
            Some(Event::Completed) => tracker.owes_completed = false,
            Some(Event::Started) | None => {
                tracker.lists_us = true;
                tier.trackers[..=position].rotate_right(1);
                self.round_at = now + interval;
            }
        }
    }

    fn failed(&mut self, now: Time, tracker: TrackerId, retry_in: Option<Duration>) {
        let jitter = self.rng.u32(800..=1000);
        let Some((tier, position, event)) = self.landed(tracker) else { return };
        let tracker = &mut tier.trackers[position];
        tracker.failures = tracker.failures.saturating_add(1);
        let asked_for = retry_in.unwrap_or_default().min(MAX_INTERVAL);
        tracker.not_before = now + backoff(tracker.failures, jitter).max(asked_for);
        match event {
            Some(Event::Stopped) => tracker.lists_us = false,
            // It will hear `started` with nothing left, and no `completed` after that.
            Some(Event::Started) => tracker.owes_completed = false,
            Some(Event::Completed) | None => {}
        }
    }

    /// Ends the announce in flight to `tracker`, if there is one: its tier, its position there, and what it was told.
    fn landed(&mut self, tracker: TrackerId) -> Option<(&mut Tier, usize, Option<Event>)> {
        let is_it = |f: &InFlight| f.tracker == tracker;
        let tier = self.tiers.iter_mut().find(|tier| tier.in_flight.as_ref().is_some_and(is_it))?;
        let event = tier.in_flight.take()?.event;
        let position = tier.trackers.iter().position(|t| t.id == tracker)?;
        Some((tier, position, event))
    }

    fn next(&self) -> Option<Next> {
        match self.phase {
            Phase::Idle => None,
            Phase::Running => earliest(self.next_completed().into_iter().chain(self.next_in_round())),
            Phase::Stopping => self.next_stopped(),
        }
    }

    fn next_stopped(&self) -> Option<Next> {
        let event = Some(Event::Stopped);
        self.idle_tiers().find_map(|(tier, t)| {
            let position = t.trackers.iter().position(|t| t.lists_us)?;
            Some(Next { at: Time::ZERO, tier, position, event })
        })
    }

    /// An event need not wait for the min interval, but a tracker that failed is left alone.
    fn next_completed(&self) -> Option<Next> {
        let event = Some(Event::Completed);
        earliest(self.idle_tiers().flat_map(|(tier, t)| {
            let owing = t.trackers.iter().enumerate().filter(|(_, t)| t.owes_completed && t.lists_us);
            owing.map(move |(position, t)| {
                let at = if t.failures > 0 { t.not_before } else { Time::ZERO };
                Next { at, tier, position, event }
            })
        }))
    }

    fn next_in_round(&self) -> Option<Next> {
        let mut tier_at = self.round_at;
        let mut best = None;
        for (tier, t) in self.tiers.iter().enumerate() {
            if let Some(in_flight) = t.in_flight {
                tier_at = tier_at.max(in_flight.since + TIER_PATIENCE);
                continue;
            }
            for (position, tracker) in t.trackers.iter().enumerate() {
                let event = (!tracker.lists_us).then_some(Event::Started);
                let at = tier_at.max(tracker.not_before);
                best = earliest(best.into_iter().chain([Next { at, tier, position, event }]));
                if tracker.failures == 0 {
                    return best;
                }
            }
        }
        best
    }

    fn idle_tiers(&self) -> impl Iterator<Item = (usize, &Tier)> {
        self.tiers.iter().enumerate().filter(|(_, tier)| tier.in_flight.is_none())
    }
}

impl Tracker {
    fn new(id: TrackerId, url: TrackerUrl) -> Tracker {
        Tracker {
            id,
            url,
            tracker_id: None,
            lists_us: false,
            owes_completed: false,
            failures: 0,
            not_before: Time::ZERO,
        }
    }
}

/// The earliest; of several at one time, the first.
fn earliest(all: impl IntoIterator<Item = Next>) -> Option<Next> {
    all.into_iter().min_by_key(|next| next.at)
}

/// The interval and min interval that hold, from what the tracker said.
fn intervals(response: &AnnounceResponse) -> (Duration, Duration) {
    let bounded = |asked: Duration| asked.clamp(MIN_INTERVAL, MAX_INTERVAL);
    let interval = bounded(response.interval.unwrap_or(DEFAULT_INTERVAL));
    let min_interval = response.min_interval.map_or(DEFAULT_MIN_INTERVAL.min(interval), bounded);
    (interval.max(min_interval), min_interval)
}

/// The wait after so many failures in a row. The jitter is 800 to 1000 thousandths, so that a wait is always longer than
/// the one before, until the longest is reached.
fn backoff(failures: u32, jitter_permille: u32) -> Duration {
    let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    BACKOFF_FIRST.saturating_mul(doubled).min(BACKOFF_MAX) * jitter_permille / 1000
}

#[cfg(test)]
mod tests;
