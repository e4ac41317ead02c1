//! One request to a UDP tracker, from connect to answer, without a socket.
//!
//! | state | waits for | on time-out | on success |
//! |---|---|---|---|
//! | `Connecting` | a connection id | connect again | `Asking` |
//! | `Asking` | the answer | ask again; `Connecting` if the connection id is too old or came from an earlier exchange | `Done` |
//! | `Done` | nothing | | |
//!
//! Packets that are not the answer to the last request (another transaction id, another action, too short) change nothing.

use super::{Family, Response, TransactionId, encode_announce, encode_connect, encode_scrape, parse};
use crate::limits::CONNECTION_LIFETIME;
use crate::{Announce, AnnounceResponse, Error, ScrapeEntry};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use types::{InfoHashV1, Time};

/// What is asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// Announce, with the path and query of the tracker's URL (BEP 41), which may be empty.
    Announce(Announce, String),
    /// Scrape these torrents, at most [`crate::limits::MAX_SCRAPE`].
    Scrape(Vec<InfoHashV1>),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Announce`].
    Announce(AnnounceResponse),
    /// To [`Request::Scrape`]: in the order asked, perhaps fewer.
    Scrape(Vec<ScrapeEntry>),
}

/// Permission to ask, good for [`CONNECTION_LIFETIME`]; may be used by further exchanges with the same tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    id: u64,
    expires: Time,
}

impl Connection {
    /// Whether it may no longer be used.
    pub fn is_expired(&self, now: Time) -> bool {
        now >= self.expires
    }
}

/// When to send again, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retransmit {
    /// The first wait; it doubles with each retransmission, and starts anew once connected.
    pub first: Duration,
    /// How often a packet is sent again at most; BEP 15 has 8.
    pub times: u32,
    /// After which the exchange fails, whatever was sent.
    pub total: Duration,
}

impl Default for Retransmit {
    /// BEP 15's 15 · 2ⁿ seconds, but given up after a minute: a tracker that was silent so long is better asked anew later,
    /// and the next one asked now.
    fn default() -> Retransmit {
        Retransmit { first: Duration::from_secs(15), times: 8, total: Duration::from_secs(60) }
    }
}

impl Retransmit {
    /// BEP 15 to the letter: 15 s, 30 s, ... 3840 s.
    pub const BEP_15: Retransmit =
        Retransmit { first: Duration::from_secs(15), times: 8, total: Duration::from_secs(15 * 511) };

    fn wait(&self, n: u32) -> Duration {
        self.first.saturating_mul(1u32.checked_shl(n).unwrap_or(u32::MAX))
    }
}

/// One request under way. Send what [`Exchange::poll_transmit`] gives, hand in what arrives, and call
/// [`Exchange::handle_timeout`] at [`Exchange::poll_timeout`], until [`Exchange::take_outcome`] has something.
#[derive(Debug)]
pub struct Exchange {
    request: Request,
    family: Family,
    retransmit: Retransmit,
    rng: fastrand::Rng,
    state: State,
    /// The answer to which packet is awaited.
    transaction: TransactionId,
    /// How often the current packet was sent again.
    resent: u32,
    resend_at: Time,
    give_up_at: Time,
    connection: Option<Connection>,
    /// The connection was handed in, so the tracker may have forgotten it.
    connection_is_old: bool,
    transmit: Option<Vec<u8>>,
    outcome: Option<Result<Reply, Error>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Asking,
    Done,
}

impl Exchange {
    /// Begins to ask; `connection` is what [`Exchange::connection`] gave after an earlier exchange with this tracker, and
    /// `seed` makes the transaction ids, which must not be guessable by those who could forge answers.
    pub fn new(
        now: Time,
        request: Request,
        family: Family,
        retransmit: Retransmit,
        connection: Option<Connection>,
        seed: u64,
    ) -> Exchange {
        let connection = connection.filter(|c| !c.is_expired(now));
        let mut exchange = Exchange {
            request,
            family,
            retransmit,
            rng: fastrand::Rng::with_seed(seed),
            state: State::Connecting,
            transaction: 0,
            resent: 0,
            resend_at: now,
            give_up_at: now + retransmit.total,
            connection,
            connection_is_old: connection.is_some(),
            transmit: None,
            outcome: None,
        };
        exchange.begin(now);
        exchange
    }

    /// The next packet to send, if any.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.take()
    }

    /// When to call [`Exchange::handle_timeout`].
    pub fn poll_timeout(&self) -> Time {
        match self.state {
            State::Done => Time::MAX,
            State::Connecting | State::Asking => self.resend_at.min(self.give_up_at),
        }
    }

    /// How it ended, once.
    pub fn take_outcome(&mut self) -> Option<Result<Reply, Error>> {
        self.outcome.take()
    }

    /// The connection as it stands, for the next exchange.
    pub fn connection(&self) -> Option<Connection> {
        self.connection
    }

    /// A packet came from the tracker's address.
    pub fn handle_packet(&mut self, now: Time, packet: &[u8]) {
        let Some((transaction, response)) = parse(packet, self.family) else { return };
        if transaction != self.transaction {
            return;
        }
        match (self.state, response) {
            (State::Connecting, Response::Connect(id)) => {
                self.connection = Some(Connection { id, expires: now + CONNECTION_LIFETIME });
                self.resent = 0;
                self.begin(now);
            }
            (State::Asking, Response::Announce(answer)) if matches!(self.request, Request::Announce(..)) => {
                self.finish(Ok(Reply::Announce(answer)));
            }
            (State::Asking, Response::Scrape(entries)) if matches!(self.request, Request::Scrape(_)) => {
                self.finish(Ok(Reply::Scrape(entries)));
            }
            (State::Asking, Response::Error(_)) if self.connection_is_old => self.reconnect(now),
            (State::Connecting | State::Asking, Response::Error(reason)) => {
                self.finish(Err(Error::Failure { reason, retry_in: None }));
            }
            _ => {}
        }
    }

    /// The time that [`Exchange::poll_timeout`] named has come.
    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.poll_timeout() || self.state == State::Done {
            return;
        }
        if now >= self.give_up_at || self.resent >= self.retransmit.times {
            self.finish(Err(Error::NoAnswer));
        } else if self.connection_is_old {
            self.reconnect(now);
        } else {
            self.resent += 1;
            match self.connection {
                Some(c) if c.is_expired(now) => self.begin(now),
                // The same transaction, so that a slow answer to an earlier copy still counts.
                _ => self.send(now),
            }
        }
    }

    /// The tracker seems to have forgotten the connection that was handed in: ask for one of our own.
    fn reconnect(&mut self, now: Time) {
        self.connection = None;
        self.connection_is_old = false;
        self.begin(now);
    }

    /// Goes on to ask if there is a connection for it, else to connect.
    fn begin(&mut self, now: Time) {
        self.connection = self.connection.filter(|c| !c.is_expired(now));
        self.state = if self.connection.is_some() { State::Asking } else { State::Connecting };
        self.transaction = self.rng.u32(..);
        self.send(now);
    }

    fn send(&mut self, now: Time) {
        self.transmit = Some(match (self.connection, &self.request) {
            (None, _) => encode_connect(self.transaction),
            (Some(c), Request::Announce(announce, url)) => {
                encode_announce(c.id, self.transaction, announce, url)
            }
            (Some(c), Request::Scrape(torrents)) => encode_scrape(c.id, self.transaction, torrents),
        });
        self.resend_at = now + self.retransmit.wait(self.resent);
    }

    fn finish(&mut self, outcome: Result<Reply, Error>) {
        self.state = State::Done;
        self.transmit = None;
        self.outcome = Some(outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const START: Time = Time::from_secs(1000);

    fn exchange(retransmit: Retransmit, connection: Option<Connection>) -> Exchange {
        let request = Request::Scrape(vec![InfoHashV1([1; 20])]);
        Exchange::new(START, request, Family::V4, retransmit, connection, 7)
    }

    /// What the exchange last sent: connection id (or protocol id), action, transaction.
    fn sent(exchange: &mut Exchange) -> (u64, u32, u32) {
        let packet = exchange.poll_transmit().expect("a packet is due");
        let number = |at: usize| u32::from_be_bytes(*packet[at..].first_chunk().unwrap());
        (u64::from_be_bytes(*packet.first_chunk().unwrap()), number(8), number(12))
    }

    fn answer(action: u32, transaction: u32, body: &[u8]) -> Vec<u8> {
        [&action.to_be_bytes(), &transaction.to_be_bytes(), body].concat()
    }

    const SCRAPED: [u8; 12] = [0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];

    #[test]
    fn connects_asks_and_answers() {
        let mut ex = exchange(Retransmit::default(), None);
        let (protocol, action, transaction) = sent(&mut ex);
        assert_eq!((protocol, action), (super::super::PROTOCOL_ID, 0));
        assert_eq!(ex.poll_transmit(), None);

        ex.handle_packet(START, &answer(0, transaction.wrapping_add(1), &[9; 8]));
        ex.handle_packet(START, &answer(2, transaction, &SCRAPED));
        ex.handle_packet(START, &answer(0, transaction, &[9; 7]));
        assert_eq!(ex.poll_transmit(), None, "forged, misplaced and short packets change nothing");

        ex.handle_packet(START, &answer(0, transaction, &[9; 8]));
        let (id, action, asked) = sent(&mut ex);
        assert_eq!((id, action), (0x0909_0909_0909_0909, 2));
        assert_ne!(asked, transaction);
        ex.handle_packet(START, &answer(2, transaction, &SCRAPED));
        assert_eq!(ex.take_outcome(), None, "an answer to another transaction");
        ex.handle_packet(START, &answer(2, asked, &SCRAPED));
        let entry = ScrapeEntry { seeders: 1, completed: 2, leechers: 3, downloaders: None };
        assert_eq!(ex.take_outcome(), Some(Ok(Reply::Scrape(vec![entry]))));
        assert_eq!(ex.poll_timeout(), Time::MAX);
    }

    #[test]
    fn retransmits_as_bep_15_says() {
        let mut ex = exchange(Retransmit::BEP_15, None);
        let mut at = START;
        for n in 0..9 {
            sent(&mut ex);
            let wait = Duration::from_secs(15 << n);
            assert_eq!(ex.poll_timeout(), at + wait);
            ex.handle_timeout(at + (wait - Duration::from_nanos(1)));
            assert_eq!(ex.poll_transmit(), None, "not too early");
            at += wait;
            ex.handle_timeout(at);
        }
        assert_eq!(ex.take_outcome(), Some(Err(Error::NoAnswer)));
        assert_eq!(ex.poll_transmit(), None);
    }

    #[test]
    fn gives_up_after_the_total() {
        let mut ex = exchange(Retransmit::default(), None);
        for secs in [15, 45, 60] {
            sent(&mut ex);
            assert_eq!(ex.poll_timeout(), START + Duration::from_secs(secs));
            ex.handle_timeout(ex.poll_timeout());
        }
        assert_eq!(ex.take_outcome(), Some(Err(Error::NoAnswer)));
    }

    #[test]
    fn connects_again_when_the_connection_is_too_old() {
        let mut ex = exchange(Retransmit::BEP_15, None);
        let (.., transaction) = sent(&mut ex);
        ex.handle_packet(START, &answer(0, transaction, &[9; 8]));
        let mut actions = vec![];
        for _ in 0..4 {
            actions.push(sent(&mut ex).1);
            ex.handle_timeout(ex.poll_timeout());
        }
        assert_eq!(actions, [2, 2, 2, 0], "sent at 0 s, 15 s, 45 s; at 105 s the id is more than 60 s old");
    }

    #[test]
    fn a_connection_serves_again_but_is_not_insisted_on() {
        let connection = Connection { id: 5, expires: START + Duration::from_secs(1) };
        let old = Connection { id: 5, expires: START };
        assert_eq!(sent(&mut exchange(Retransmit::default(), Some(old))).1, 0);

        let mut ex = exchange(Retransmit::default(), Some(connection));
        let (id, action, transaction) = sent(&mut ex);
        assert_eq!((id, action), (5, 2));
        ex.handle_packet(START, &answer(3, transaction, b"connection id mismatch"));
        let (_, action, transaction) = sent(&mut ex);
        assert_eq!(action, 0, "the tracker has forgotten it: connect");
        ex.handle_packet(START, &answer(3, transaction, b"go\naway"));
        let refused = Error::Failure { reason: "go away".into(), retry_in: None };
        assert_eq!(ex.take_outcome(), Some(Err(refused)));

        let mut ex = exchange(Retransmit::default(), Some(connection));
        sent(&mut ex);
        ex.handle_timeout(ex.poll_timeout());
        assert_eq!(sent(&mut ex).1, 0, "no answer: perhaps forgotten silently");
    }

    proptest! {
        /// Any loss and any noise: it always ends, in time, and never sends more than it may.
        #[test]
        fn always_ends(seed: u64, steps in proptest::collection::vec((any::<bool>(), 0u32..4, any::<[u8; 8]>()), 0..40)) {
            let retransmit = Retransmit { first: Duration::from_secs(1), times: 3, total: Duration::from_secs(30) };
            let request = Request::Scrape(vec![InfoHashV1([1; 20])]);
            let mut ex = Exchange::new(START, request, Family::V4, retransmit, None, seed);
            let (mut now, mut packets, mut last) = (START, 0, 0);
            let mut steps = steps.into_iter();
            let outcome = loop {
                if let Some(packet) = ex.poll_transmit() {
                    packets += 1;
                    last = u32::from_be_bytes(*packet[12..].first_chunk().unwrap());
                }
                if let Some(outcome) = ex.take_outcome() {
                    break outcome;
                }
                match steps.next() {
                    Some((right, action, body)) => {
                        let transaction = if right { last } else { !last };
                        ex.handle_packet(now, &answer(action, transaction, &body));
                    }
                    None => {
                        now = ex.poll_timeout();
                        ex.handle_timeout(now);
                    }
                }
            };
            prop_assert!(now <= START + retransmit.total);
            prop_assert!(packets <= 8, "{packets} packets");
            prop_assert!(outcome.is_err() || now == START);
        }
    }
}
