//! A UDP tracker that says anything: packets read within bounds, and an exchange always ends. A client that says
//! anything to our own tracker: what is answered reads back.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use tracker::limits::{MAX_PEERS, MAX_SCRAPE};
use tracker::serve::Tracker;
use tracker::udp::{self, Exchange, Family, Request, Response, Retransmit};
use types::{InfoHashV1, Time};

fuzz_target!(|data: &[u8]| {
    for family in [Family::V4, Family::V6] {
        match udp::parse(data, family) {
            Some((_, Response::Announce(answer))) => assert!(answer.peers.len() <= MAX_PEERS),
            Some((_, Response::Scrape(entries))) => assert!(entries.len() <= MAX_SCRAPE),
            Some((_, Response::Error(reason))) => assert!(!reason.contains(char::is_control)),
            Some((_, Response::Connect(_))) | None => {}
        }
    }
    exchange(data);
    serve(data);
});

fn serve(data: &[u8]) {
    let mut tracker = Tracker::new(1);
    let from = ([1, 2, 3, 4], 5).into();
    let hello = tracker.packet(Time::ZERO, from, &udp::encode_connect(1)).unwrap();
    let packet = [&hello[8..], &[0, 0, 0], data].concat();
    if let Some(answer) = tracker.packet(Time::ZERO, from, &packet) {
        let answer = udp::parse(&answer, Family::V4);
        assert!(answer.is_some());
        plant(|| matches!(answer, Some((_, Response::Scrape(entries))) if entries.len() == 2));
    }
}

/// Cuts the input into packets (a length, whether the transaction id is right, the rest) and lets time pass between them.
fn exchange(mut data: &[u8]) {
    let retransmit = Retransmit::default();
    let request = Request::Scrape(vec![InfoHashV1([7; 20])]);
    let mut now = Time::from_secs(9);
    let end = now + retransmit.total;
    let mut exchange = Exchange::new(now, request, Family::V4, retransmit, None, 1);
    let mut transaction = [0; 4];
    loop {
        if let Some(sent) = exchange.poll_transmit() {
            transaction.copy_from_slice(&sent[12..16]);
        }
        if exchange.take_outcome().is_some() {
            break;
        }
        if let [len, is_right, rest @ ..] = data {
            let (packet, rest) = rest.split_at(usize::from(*len).min(rest.len()));
            data = rest;
            let mut packet = packet.to_vec();
            if is_right % 2 == 1 && packet.len() >= 8 {
                packet[..3].fill(0);
                packet[4..8].copy_from_slice(&transaction);
            }
            exchange.handle_packet(now, &packet);
        } else {
            now = exchange.poll_timeout();
            assert!(now <= end);
            exchange.handle_timeout(now);
        }
    }
}
