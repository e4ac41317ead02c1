//! What the owner asks of a torrent that runs.

use super::{End, Running};
use crate::reading::{PeerStats, PieceMap, deadlines};
use crate::torrent::Request;
use crate::why::doing;
use swarm::Input;
use trace::why::Facts;

impl Running {
    /// Does or answers what is asked; says so if the torrent is to end. Who asked and does not listen any more misses nothing.
    pub(super) fn on_request(&mut self, request: Request) -> Option<End> {
        match request {
            Request::Stop => return Some(Ok(())),
            Request::Read(reply) => drop(reply.send((self.driver.disk.clone(), self.driver.base.lengths))),
            Request::Peers(reply) => drop(reply.send(self.peers())),
            Request::Trackers(reply) => drop(reply.send(self.company.outside.announcer.trackers(self.now()))),
            Request::Pieces(reply) => drop(reply.send(self.pieces())),
            Request::Facts(reply) => drop(reply.send(self.facts())),
            Request::Hurry { before, wanted } => {
                let now = self.now();
                for (piece, at) in deadlines(before, wanted, now) {
                    if let Some(piece) = self.driver.base.lengths.piece(piece) {
                        self.company.swarm.handle(now, Input::SetDeadline { piece, at });
                    }
                }
            }
        }
        None
    }

    fn pieces(&self) -> PieceMap {
        let swarm = &self.company.swarm;
        PieceMap {
            length: self.driver.base.lengths.piece_length(),
            have: swarm.have().clone(),
            begun: swarm.begun().map(types::PieceIndex::get).collect(),
        }
    }

    fn facts(&self) -> Facts {
        let doing = doing(Some(self.state()));
        let age = self.now() - self.driver.base.added;
        self.company.facts(Facts { doing, age, ..Facts::default() })
    }

    fn peers(&self) -> Vec<PeerStats> {
        let peers = self.company.swarm.peers(self.now());
        let told = peers.map(|peer| PeerStats {
            number: peer.peer.0,
            addr: peer.addr,
            outgoing: peer.outgoing,
            client: peer.client.map(str::to_owned),
            am_choking: peer.am_choking,
            am_interested: peer.am_interested,
            peer_choking: peer.peer_choking,
            peer_interested: peer.peer_interested,
            snubbed: peer.snubbed,
            requests: peer.requests_out,
            window: peer.window,
            pieces: peer.pieces,
            rate_down: peer.rate_down,
            rate_up: peer.rate_up,
            downloaded: peer.downloaded,
            uploaded: peer.uploaded,
        });
        told.collect()
    }
}
