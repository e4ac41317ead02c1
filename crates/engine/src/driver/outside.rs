//! What a torrent has to do with others though no peer is connected: its turn among other torrents, its trackers, and those who
//! look for peers on its behalf. It outlasts the brain.

use super::scouts::Scouts;
use crate::announcer::{Announced, Announcer, Named};
use crate::shared::Shared;
use crate::stats::Counters;
use crate::steward::Seat;
use crate::torrent::Wishes;
use session::{Report, Torrent};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use swarm::Limits;
use tokio::task::JoinSet;
use types::{InfoHash, PeerId, Time};

/// See the module.
pub(super) struct Outside {
    pub(super) announcer: Announcer,
    pub(super) announces: Announces,
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
    /// How often it announced itself because its owner wanted it to.
    asked: u64,
}

/// Announces under way. Takes next to no room while there are none.
#[derive(Default)]
pub(super) struct Announces(Option<JoinSet<Announced>>);

impl Announces {
    fn spawn(&mut self, announce: impl Future<Output = Announced> + Send + 'static) {
        self.0.get_or_insert_default().spawn(announce);
    }

    /// The next that was made; none if none is under way. Safe to cancel.
    pub(super) async fn next(&mut self) -> Option<Announced> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// See [`next`](Self::next).
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Announced>> {
        while let Some(set) = &mut self.0 {
            match ready!(set.poll_join_next(cx)) {
                Some(Ok(announced)) => return Poll::Ready(Some(announced)),
                Some(Err(_)) => {}
                None => self.0 = None,
            }
        }
        Poll::Ready(None)
    }
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
            announces: Announces::default(),
            seat: Seat::take(shared.clone(), wants),
            awake: false,
            barred: false,
            known: false,
            scouts: Scouts::default(),
            line: [0; 2],
            asked: 0,
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
        self.announces = Announces::default();
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

    /// Does what its owner wants now of its place in the queue, its share and its trackers. `complete`: all of it is there.
    pub(super) fn follow_wishes(
        &mut self,
        shared: &Shared,
        torrent: InfoHash,
        wishes: &Wishes,
        complete: impl FnOnce() -> bool,
    ) {
        let now = shared.now();
        self.seat.set_rank(now, wishes.rank);
        self.seat.set_share(now, wishes.max_up, wishes.max_down);
        if std::mem::replace(&mut self.asked, wishes.announces) != wishes.announces {
            self.announce_again(shared, torrent, complete());
        }
    }

    /// Trackers are asked as soon as they allow; the DHT and the local network at once.
    fn announce_again(&mut self, shared: &Shared, torrent: InfoHash, complete: bool) {
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
