//! What a seed meets.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::corpus::rejected_or_gone;
use super::{PIECES, SMALL, SOON, Seeding};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::peer::{
    FAST, FAST_EXTENDED, Frame, PLAIN, full_bitfield, handshake, id, message, request,
};

#[test]
fn a_seed_survives_handshakes_that_are_none() {
    let mut seeding = Seeding::start();
    let hash = seeding.home.info_hash;
    let mut other = handshake(FAST, hash, *b"-XX0000-123456789012");
    other[5] ^= 1;
    let garbage: [Vec<u8>; 5] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0; 68],
        rawtorrent_tests::content::bytes(3, 4_000),
        other,
        handshake(FAST, [0; 20], *b"-XX0000-123456789012"),
    ];
    for bytes in garbage {
        let mut stream = TcpStream::connect(seeding.addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // It may be thrown out before all is sent.
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it was kept"),
        }
        assert!(answer.len() <= 68, "{answer:?}");
        seeding.assert_serves();
    }
    assert_eq!(seeding.session.interrupt().unwrap().0, Some(0));
}

#[test]
fn a_seed_refuses_requests_out_of_bounds() {
    let mut seeding = Seeding::start();
    let last = u32::try_from(PIECES).unwrap() - 1;
    let bad = [
        request(last + 1, 0, 16_384),
        request(u32::MAX, u32::MAX, u32::MAX),
        request(0, 65_536, 16_384),
        request(0, 60_000, 16_384),
        request(last, 0, 18),
        request(0, 0, 0),
        request(0, 0, 1 << 30),
    ];
    for request in bad {
        let mut peer = seeding.connect(FAST).unwrap();
        peer.send(&message(id::INTERESTED, &[])).unwrap();
        peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().expect("unchoked");
        peer.send(&message(id::REQUEST, &request)).unwrap();
        rejected_or_gone(&mut peer, &request).unwrap_or_else(|why| panic!("{request:?}: {why}"));
        seeding.assert_serves();
    }
}

#[test]
fn random_messages_never_bring_it_down() {
    let mut seeding = Seeding::start();
    let mut random = fastrand::Rng::with_seed(20);
    for _ in 0..200 {
        let Ok(mut peer) = seeding.connect(FAST_EXTENDED) else { continue };
        for _ in 0..random.usize(1..6) {
            let mut payload = vec![0; random.usize(0..200)];
            random.fill(&mut payload);
            if peer.send(&message(random.u8(0..24), &payload)).is_err() {
                break;
            }
        }
    }
    seeding.assert_serves();
    assert_eq!(seeding.session.interrupt().unwrap().0, Some(0));
}

#[test]
fn a_peer_without_the_fast_extension_gets_a_bit_field_and_blocks() {
    let seeding = Seeding::start();
    let mut peer = seeding.connect(PLAIN).unwrap();
    let first = peer.read_until(|frame| frame.id.is_some()).unwrap().unwrap();
    assert_eq!(first, Frame { id: Some(id::BITFIELD), payload: full_bitfield(PIECES) });
    assert_eq!(peer.fetch(0, 16_384, 16_384).unwrap(), SMALL.stream()[16_384..32_768]);
}

#[test]
fn blocks_come_in_any_split_of_the_stream() {
    let seeding = Seeding::start();
    let mut peer = seeding.connect(FAST).unwrap();
    let all = [message(id::INTERESTED, &[]), vec![0; 8]].concat();
    all.iter().for_each(|byte| peer.send(&[*byte]).unwrap());
    peer.read_until(|frame| frame.id == Some(id::UNCHOKE)).unwrap().expect("unchoked");
    message(id::REQUEST, &request(2, 100, 1_000)).iter().for_each(|byte| peer.send(&[*byte]).unwrap());
    let block = peer.read_until(|frame| frame.id == Some(id::PIECE)).unwrap().unwrap();
    let start = 2 * PIECE_LEN + 100;
    assert_eq!(block.payload[8..], SMALL.stream()[start..start + 1_000]);
}
