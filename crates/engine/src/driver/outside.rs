//! What a torrent has to do with others though no peer is connected: its turn among other torrents, its trackers, and those who
//! look for peers on its behalf. It outlasts the brain.

use super::scouts::Scouts;
use crate::announcer::{Announced, Announcer, Named};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::steward::Seat;
use session::{Report, Torrent};
use std::sync::Arc;
use swarm::Limits;
use tokio::task::JoinSet;
use types::{InfoHash, PeerId, Time};

/// See the module.
pub(super) struct Outside {
    pub(super) announcer: Announcer,
    /// Announces under way.
    pub(super) announces: JoinSet<Announced>,
    /// Where it says whether it is this torrent's turn, and what it may take.
    pub(super) seat: Seat,
    /// It is its turn.
    pub(super) awake: bool,
    /// It could not make use of its turn.
    pub(super) barred: bool,
    /// Whether that has been said. Until then callers wait: who is sent away comes again only after a while.
    pub(super) known: bool,
    /// Who looks for peers where there are no trackers.
    pub(super) scouts: Scouts,
    /// What went over the line before there was the brain that there is now: down, up.
    line: [u64; 2],
}

/// What its orders have come to.
pub(super) struct Followed {
    /// What it may take, if it is its turn.
    pub(super) limits: Option<Limits>,
    /// Its turn has begun, or ended.
    pub(super) turn: Option<bool>,
}

impl Outside {
    /// Trackers that cannot be used are told of.
    pub(super) fn take(
        shared: &Arc<Shared>,
        torrent: InfoHash,
        peer_id: PeerId,
        named: Named<'_>,
        wants: Torrent,
    ) -> Outside {
        let refused = |refused| shared.hub.tell(torrent, || refused);
        let (wire, settings) = (torrent.wire(), &shared.settings);
        Outside {
            announcer: Announcer::new(named, wire, peer_id, settings, shared.ports, refused),
            announces: JoinSet::new(),
            seat: Seat::take(shared.clone(), wants),
            awake: false,
            barred: false,
            known: false,
            scouts: Scouts::default(),
            line: [0; 2],
        }
    }

    /// Does what its orders say now; `complete`: all of the torrent is there.
    pub(super) fn follow_orders(
        &mut self,
        shared: &Shared,
        torrent: InfoHash,
        complete: impl FnOnce() -> bool,
    ) -> Followed {
        let (now, orders) = (shared.now(), self.seat.orders());
        self.known = orders.known;
        let limits = Some(orders.limits).filter(|_| orders.run);
        let run = orders.run && !self.barred;
        if run == self.awake {
            return Followed { limits, turn: None };
        }
        self.awake = run;
        // What trackers still answer to what was said before is of no interest.
        self.announces = JoinSet::new();
        if run {
            self.announcer.start(now);
            self.scouts.send_out(shared, torrent, complete());
        } else {
            self.announcer.stop(now);
            self.scouts.call_back();
        }
        Followed { limits, turn: Some(run) }
    }

    /// Makes the announces that are due; `run` is what trackers are told of this run, and how much is missing.
    pub(super) fn announce(
        &mut self,
        shared: &Arc<Shared>,
        torrent: InfoHash,
        run: impl Fn() -> (Counters, u64),
    ) {
        while let Some(announce) = self.announcer.poll(shared.now(), &run) {
            shared.hub.tell(torrent, || announce.event());
            let shared = shared.clone();
            self.announces.spawn(async move { announce.make(&shared.web).await });
        }
    }

    /// Trackers are asked as soon as they allow; the DHT and the local network at once.
    pub(super) fn announce_again(&mut self, shared: &Shared, torrent: InfoHash, complete: bool) {
        self.announcer.need_peers(shared.now());
        if self.awake {
            self.scouts.call_back();
            self.scouts.send_out(shared, torrent, complete);
        }
    }

    /// Tells the brain above what is used, all brains of the torrent together.
    pub(super) fn report(&self, now: Time, report: Report) {
        let [down, up] = self.line;
        let (line_down, line_up) = (down + report.line_down, up + report.line_up);
        self.seat.report(now, Report { line_down, line_up, ..report });
    }

    /// There is no brain any more; what went over its line still counts.
    pub(super) fn outlast(&mut self, now: Time, line_down: u64, line_up: u64) {
        self.line = [self.line[0] + line_down, self.line[1] + line_up];
        self.report(now, Report::default());
    }
}
