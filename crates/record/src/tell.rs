//! A replay as events.

use crate::{Step, Torrent};
use core::time::Duration;
use swarm::{Input, PeerView};
use trace::{Event, EventKind, Ours, VERSION, Watch};
use types::{InfoHash, Time};
use wire::Reserved;

/// Makes events of the steps of a replay, as the engine makes them while a torrent runs; what a brain does not hear of
/// (announces, why a dial failed) is not in a recording. Times are since the recording began.
#[derive(Debug, Default)]
pub struct Teller(Option<Telling>);

#[derive(Debug)]
struct Telling {
    began: Time,
    torrent: InfoHash,
    watch: Watch,
}

impl Teller {
    /// Tells what a step is, if people may want to know. To be told every step.
    pub fn tell(&mut self, now: Time, step: &Step<'_>, hear: &mut dyn FnMut(Event)) {
        if let (Step::Began(config, _), None) = (step, &self.0) {
            let reserved = Reserved::NONE.with_fast().with_extended();
            let reserved = if config.dht_ports == [0; 2] { reserved } else { reserved.with_dht() };
            let watch = Watch::new(Ours { info_hash: config.info_hash, peer_id: config.peer_id, reserved });
            self.0 = Some(Telling { began: now, torrent: InfoHash::V1(config.info_hash), watch });
        }
        let Some(Telling { began, torrent, watch }) = &mut self.0 else { return };
        let (at, torrent): (Duration, _) = (now.since(*began), *torrent);
        let hear = &mut |kind| hear(Event { v: VERSION, at, torrent, kind });
        match step {
            Step::Began(_, Torrent::Known(lengths, have)) => {
                hear(EventKind::Began { pieces: Some(lengths.piece_count()), have: have.count_ones() });
            }
            Step::Began(_, Torrent::Unknown(_)) => hear(EventKind::Began { pieces: None, have: 0 }),
            Step::TookOver => watch.take_over(),
            Step::Told(Input::ConnectFailed { addr }) => {
                hear(EventKind::DialFailed { peer: (*addr).into(), error: "why is not recorded".into() });
            }
            Step::Told(input) => watch.told(now, input, hear),
            Step::Timeout => {}
            Step::Did(swarm::Output::Connect { addr }, _) => {
                hear(EventKind::Dialing { peer: (*addr).into() });
            }
            Step::Did(output, swarm) => {
                let view = |key| swarm.peers(now).find(|view: &PeerView<'_>| view.peer == key);
                watch.did(now, output, view, hear);
            }
        }
    }
}
