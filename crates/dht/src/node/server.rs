//! What others ask us.
//!
//! An answer is never longer than a datagram of BEP 32 (a little more with an item), and whoever asks much gets no
//! answer: addresses of queries may be forged. Only a token lets anybody store something here.

use super::Node;
use crate::NodeId;
use crate::addr::{Contact, Family};
use crate::event::Stage;
use crate::items::put_target;
use crate::krpc::{Answer, Malformed, Method, Put, Query, Sample, Want, code, encode_error};
use crate::limits::K;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use types::Time;

type Refusal = (i64, &'static str);

fn told(answer: &Result<Vec<u8>, Refusal>) -> Stage {
    match answer {
        Ok(bytes) => Stage::by_answer(bytes),
        Err((code, why)) => Stage::Refused { took: Duration::ZERO, code: *code, text: (*why).into() },
    }
}

impl Node {
    pub(super) fn on_query(&mut self, now: Time, from: SocketAddr, transaction: &[u8], query: &Query<'_>) {
        if !self.admits(now, &from) {
            return;
        }
        self.repeat_what_is_slow(now, from);
        let contact = Contact { id: query.id, addr: from };
        if !query.read_only
            && let Some(side) = self.side_mut(Family::of(&from))
            && side.table.heard(now, &contact)
        {
            self.queue_ping(from);
        }
        self.tokens.rotate(now);
        let asked = self.heard(None, &query.method);
        self.tell_of(from, false, asked, Stage::Sent);
        let answer = self.answer(now, from, transaction, query);
        if asked.is_some() {
            self.tell_of(from, false, asked, told(&answer));
        }
        let bytes = answer.unwrap_or_else(|(code, why)| encode_error(transaction, &from, code, why));
        self.reply(from, bytes);
    }

    pub(super) fn on_malformed(&mut self, now: Time, from: SocketAddr, malformed: &Malformed<'_>) {
        if let Some(transaction) = malformed.transaction
            && self.admits(now, &from)
        {
            self.reply(from, encode_error(transaction, &from, malformed.code, malformed.why));
        }
    }

    /// Whether a query is looked at.
    fn admits(&mut self, now: Time, from: &SocketAddr) -> bool {
        if self.config.read_only {
            return false;
        }
        let admitted = self.sources.admits(now, from) && self.answer_rate.take(now);
        self.stats.dropped += u64::from(!admitted);
        admitted
    }

    fn reply(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.sources.answered(&to, bytes.len());
        self.stats.answered += 1;
        self.send(to, bytes);
    }

    fn answer(
        &mut self,
        now: Time,
        from: SocketAddr,
        transaction: &[u8],
        query: &Query<'_>,
    ) -> Result<Vec<u8>, Refusal> {
        let own = self.id(Family::of(&from)).unwrap_or(NodeId([0; 20]));
        let near = |target: &NodeId| self.near(target, &from, query.want);
        let answer = match query.method {
            Method::Ping => Answer::default(),
            Method::FindNode { target } | Method::Unknown { target: Some(target) } => near(&target),
            Method::Unknown { target: None } => return Err((code::METHOD_UNKNOWN, "method unknown")),
            Method::GetPeers { info_hash, noseed, scrape } => {
                let answer = near(&info_hash);
                self.torrent(from, &info_hash, noseed, scrape, answer)
            }
            Method::AnnouncePeer { info_hash, port, implied_port, seed, token } => {
                self.check_token(token, &from, &info_hash)?;
                let port = if implied_port { from.port() } else { port };
                let peer = SocketAddr::new(from.ip(), port);
                let is_stored = self.peers.announce(now, info_hash, peer, seed);
                if is_stored { Answer::default() } else { return Err((code::SERVER, "no room")) }
            }
            Method::Get { target, seq } => {
                let answer = near(&target);
                return Ok(self.item(from, &target, seq, answer).encode(transaction, &from, &own));
            }
            Method::Put(ref put) => {
                self.put(now, &from, put)?;
                Answer::default()
            }
            Method::SampleInfohashes { target } => {
                let answer = near(&target);
                let (samples, num, interval) = self.peers.sample(now, &mut self.rng);
                let sample = Sample { samples, num: num as u64, interval: interval.as_secs() };
                return Ok(Answer { sample: Some(sample), ..answer }.encode(transaction, &from, &own));
            }
        };
        Ok(answer.encode(transaction, &from, &own))
    }

    /// The nodes closest to a target, of the families that are wanted; of that which the query came over if nothing is
    /// said (BEP 32).
    fn near(&self, target: &NodeId, from: &SocketAddr, want: Option<Want>) -> Answer<'static> {
        let want = want.unwrap_or(Want { v4: from.is_ipv4(), v6: from.is_ipv6() });
        let closest = |family, is_wanted: bool| {
            self.side(family).filter(|_| is_wanted).map(|side| side.table.closest(target, K, from))
        };
        let (nodes, nodes6) = (closest(Family::V4, want.v4), closest(Family::V6, want.v6));
        Answer { nodes, nodes6, ..Answer::default() }
    }

    fn torrent<'a>(
        &mut self,
        from: SocketAddr,
        info_hash: &NodeId,
        noseed: bool,
        scrape: bool,
        answer: Answer<'a>,
    ) -> Answer<'a> {
        // Without a token others are announced to (BEP 33).
        let has_room = self.peers.has_room(info_hash, &from);
        Answer {
            token: has_room.then(|| self.tokens.issue(from.ip(), info_hash)),
            values: self.peers.some(info_hash, &from, noseed, &mut self.rng),
            blooms: if scrape { self.peers.blooms(info_hash, &from) } else { None },
            ..answer
        }
    }

    fn item<'a>(
        &'a self,
        from: SocketAddr,
        target: &NodeId,
        seq: Option<i64>,
        answer: Answer<'a>,
    ) -> Answer<'a> {
        let token = Some(self.tokens.issue(from.ip(), target));
        let Some(item) = self.items.get(target) else { return Answer { token, ..answer } };
        let signed = item.signed();
        let stored_seq = signed.map(|signed| signed.seq);
        let is_known = seq.zip(stored_seq).is_some_and(|(known, stored)| stored <= known);
        if is_known {
            return Answer { token, seq: stored_seq, ..answer };
        }
        Answer { token, value: Some(&item.value), signed, ..answer }
    }

    fn put(&mut self, now: Time, from: &SocketAddr, put: &Put<'_>) -> Result<(), Refusal> {
        self.check_token(put.token, from, &put_target(put))?;
        self.items.put(now, from, put)
    }

    fn check_token(&self, token: &[u8], from: &SocketAddr, target: &NodeId) -> Result<(), Refusal> {
        let is_good = self.tokens.accepts(token, from.ip(), target);
        if is_good { Ok(()) } else { Err((code::PROTOCOL, "bad token")) }
    }
}
