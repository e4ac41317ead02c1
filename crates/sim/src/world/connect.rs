//! Connections come and go.

use super::line::Item;
use super::{End, Event, World, peer_id};
use crate::spec::Role;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use swarm::{Input, PeerKey};
use types::Time;
use wire::Reserved;

/// How long one waits for an answer that does not come.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

impl World<'_> {
    pub(super) fn dial(&mut self, from: u32, to: SocketAddr) {
        let life = self.nodes[from as usize].life;
        let takes = match self.node_at(to) {
            Some(other) if self.apart(from, other) || self.nodes[other as usize].spec.nat => DIAL_TIMEOUT,
            // A round trip for TCP, one for the handshakes.
            Some(other) => self.one_way(from, other) * 4,
            None => DIAL_TIMEOUT,
        };
        self.queue.put(self.now + takes, Event::Dialed { from, life, to });
    }

    /// Both handshakes are through, if there is anybody.
    pub(super) fn meet(&mut self, from: u32, to: SocketAddr) {
        let other = self.node_at(to).filter(|&other| {
            let there = &self.nodes[other as usize];
            there.alive && !there.spec.nat && !self.apart(from, other)
        });
        let Some(other) = other else { return self.tell(from, Input::ConnectFailed { addr: to }) };
        let one_way = self.one_way(from, other);
        let here = u32::try_from(self.ends.len()).expect("fewer than 2^31 connections");
        let sides = [from, other];
        let fast = sides.iter().all(|&node| self.nodes[node as usize].spec.fast);
        for node in sides {
            self.ends.push(End {
                node,
                open: true,
                fast,
                asked: Vec::new(),
                out: VecDeque::new(),
                in_socket: 0,
                queued: false,
                one_way,
                said: Time::ZERO,
                last_arrival: Time::ZERO,
                choked: true,
                choking: true,
                allowed: [Vec::new(), Vec::new()],
                told: self.nothing_told(),
            });
        }
        self.nodes[from as usize].links.push(here);
        self.nodes[other as usize].links.push(here + 1);
        let port = 20_000 + u16::try_from(here % 40_000).expect("small");
        let seen = SocketAddr::new(self.nodes[from as usize].addr.ip(), port);
        let reserved = Reserved::NONE.with_extended();
        let reserved = if fast { reserved.with_fast() } else { reserved };
        for (end, node, twin, addr) in [(here, from, other, to), (here + 1, other, from, seen)] {
            let peer = PeerKey(end.into());
            let (outgoing, peer_id) = (node == from, peer_id(twin));
            if self.ends[end as usize].open {
                self.tell(node, Input::PeerConnected { peer, addr, outgoing, peer_id, reserved });
            }
        }
    }

    /// Messages that were said are still sent.
    pub(super) fn hang_up(&mut self, end: u32) {
        let out = std::mem::take(&mut self.ends[end as usize].out);
        for item in out {
            if let Item::Message(message) = item {
                self.carry_message(end, message);
            }
        }
        self.close(end);
    }

    /// Closes an end; the other end hears of it in time.
    pub(super) fn close(&mut self, end: u32) {
        let this = &mut self.ends[end as usize];
        if !std::mem::replace(&mut this.open, false) {
            return;
        }
        let at = this.last_arrival.max(self.now + this.one_way);
        self.forget(end);
        self.queue.put(at, Event::Closed { to: end ^ 1 });
    }

    pub(super) fn heard_close(&mut self, to: u32) {
        if self.is_cut(to) {
            return self.hold(Event::Closed { to });
        }
        if std::mem::replace(&mut self.ends[to as usize].open, false) {
            self.forget(to);
            self.tell(self.ends[to as usize].node, Input::PeerClosed { peer: PeerKey(to.into()) });
        }
    }

    fn forget(&mut self, end: u32) {
        let this = &mut self.ends[end as usize];
        this.open = false;
        this.out = VecDeque::new();
        this.in_socket = 0;
        this.asked = Vec::new();
        this.allowed = [Vec::new(), Vec::new()];
        let node = this.node;
        self.nodes[node as usize].links.retain(|&link| link != end);
    }

    fn one_way(&self, a: u32, b: u32) -> Duration {
        self.nodes[a as usize].spec.latency + self.nodes[b as usize].spec.latency
    }

    /// Whether it is one that sends nothing.
    pub(super) fn rides_free(&self, node: u32) -> bool {
        self.nodes[node as usize].spec.role == Role::FreeRider
    }
}
