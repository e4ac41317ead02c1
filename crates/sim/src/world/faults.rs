//! What goes wrong.

use super::{Event, Partition, World};
use crate::disk::Disk;
use crate::spec::{Fault, Role};
use std::time::Duration;
use swarm::{Input, PeerKey, Swarm};
use types::Time;

impl World<'_> {
    pub(super) fn befall(&mut self, number: usize) {
        self.faults_left -= 1;
        match self.spec.faults[number].1.clone() {
            Fault::Crash(peer, back) => self.end(peer, back, true),
            Fault::Leave(peer, back) => self.end(peer, back, false),
            Fault::Partition(first, time) => {
                if self.partition.is_none() {
                    self.partition = Some(Partition { first, held: Vec::new() });
                    self.faults_left += 1;
                    self.queue.put(self.now + time, Event::Heal);
                }
            }
            Fault::Cut(count) => (0..count).for_each(|_| self.cut_one()),
        }
    }

    pub(super) fn heal(&mut self) {
        self.faults_left -= 1;
        for event in self.partition.take().map_or_else(Vec::new, |partition| partition.held) {
            self.queue.put(self.now, event);
        }
    }

    /// A peer ends, and starts again after a while or never.
    pub(super) fn end(&mut self, peer: usize, back: Option<Duration>, crash: bool) {
        let Some(this) = self.nodes.get_mut(peer).filter(|node| node.alive) else { return };
        this.alive = false;
        this.life += 1;
        this.armed = Time::MAX;
        this.line.clear();
        let stats = this.swarm.stats(self.now);
        this.outcome.add(&stats);
        for link in std::mem::take(&mut this.links) {
            self.close(link);
        }
        let node = u32::try_from(peer).expect("far fewer than 2^32 peers");
        match back {
            Some(time) => {
                self.restore(node, crash);
                self.queue.put(self.now + time, Event::Start { node });
            }
            None => {
                let this = &self.nodes[peer];
                self.waiting -= usize::from(this.spec.role != Role::Seed && this.finished.is_none());
            }
        }
    }

    /// What it finds on its disk when it comes back.
    fn restore(&mut self, node: u32, crash: bool) {
        let config = self.config(node, &self.nodes[node as usize].spec);
        let seed = self.rng.u64(..);
        let now = self.clock(node);
        let (count, lengths) = (self.lengths.piece_count(), self.lengths);
        let this = &mut self.nodes[node as usize];
        let empty = Disk::new(lengths, types::Bitfield::new(count));
        let old = std::mem::replace(&mut this.disk, empty);
        this.disk = old.reopen(self.now, crash);
        this.swarm = Swarm::new(config, lengths, this.disk.have().clone(), seed, now);
        for (piece, blocks) in this.disk.partial() {
            this.swarm.handle(now, Input::SetPartial { piece, blocks: &blocks });
        }
    }

    /// Cuts a connection, as networks do.
    fn cut_one(&mut self) {
        let node = self.rng.usize(0..self.nodes.len());
        let Some(&end) = self.rng.choice(&self.nodes[node].links) else { return };
        self.close(end);
        self.tell(self.ends[end as usize].node, Input::PeerClosed { peer: PeerKey(end.into()) });
    }

    /// Whether the network is cut between two peers.
    pub(super) fn apart(&self, a: u32, b: u32) -> bool {
        let side = |node: u32, first: usize| (node as usize) < first;
        self.partition.as_ref().is_some_and(|Partition { first, .. }| side(a, *first) != side(b, *first))
    }

    /// Whether what comes to this end has to cross the cut.
    pub(super) fn is_cut(&self, to: u32) -> bool {
        self.partition.is_some() && self.apart(self.ends[to as usize].node, self.ends[(to ^ 1) as usize].node)
    }

    /// TCP sends it again until the network is whole.
    pub(super) fn hold(&mut self, event: Event) {
        if let Some(partition) = &mut self.partition {
            partition.held.push(event);
        }
    }
}
