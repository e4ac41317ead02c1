#![allow(clippy::unwrap_used, reason = "tests")]
use super::super::feed::{Feed, MAX_NEWS};
use super::super::{MAX_KEYS, keys, view};
use super::*;
use api::State as Doing;
use engine::InfoHash;
use engine::events::{Block, Peer as Far, VERSION};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::Event as Pressed;
use std::time::Duration;

const ID: &str = "0101010101010101010101010101010101010101";

fn torrent(name: &str, id: &str, rate_down: u64) -> Torrent {
    Torrent {
        id: id.into(),
        name: name.into(),
        state: Doing::Downloading,
        error: None,
        dir: "/srv".into(),
        size: 3_000_000,
        wanted: Some(1000),
        done: Some(250),
        rate_down,
        rate_up: 2000,
        downloaded: None,
        uploaded: None,
        peers: 3,
        seeds: 1,
        private: false,
        category: None,
        tags: std::collections::BTreeSet::new(),
        place: 1,
        revision: 1,
    }
}

fn said(at: u64, direction: Direction, said: Said) -> News {
    let peer = Far { number: Some(7), addr: None };
    let kind = EventKind::Message { peer, direction, said, reason: None, took: None };
    let torrent = InfoHash::V1(types::InfoHashV1([1; 20]));
    News::Said(Box::new(Event { v: VERSION, at: Duration::from_millis(at), torrent, kind }))
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

fn shown(state: &State) -> String {
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).unwrap();
    terminal.draw(|frame| view::draw(state, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer
        .content()
        .chunks(120)
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn opened() -> State {
    let mut state = State::new("here");
    state.hear(News::Torrents(vec![
        torrent("album", &ID.replace('0', "2"), 0),
        torrent("film\u{1b}[31m", ID, 5000),
    ]));
    state.key(key(KeyCode::Down));
    assert_eq!(state.key(key(KeyCode::Enter)), Act::Look(Some(ID.into())));
    state
}

#[test]
fn the_list_tells_of_every_torrent() {
    let mut state = State::new("here");
    state.hear(News::Torrents(Vec::new()));
    assert!(shown(&state).contains("no torrents yet"));
    state.hear(News::Torrents(vec![torrent("album", "11", 1000), torrent("film\u{1b}[31m", ID, 5000)]));
    let text = shown(&state);
    assert!(text.starts_with("rawtorrent at here  2 torrents  down 5.9 KiB/s"), "{text}");
    for part in ["album", "downloading", "25.0%", "3 (1)", "Enter look at it"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "names are strangers' words");
    assert_eq!(state.key(key(KeyCode::Char('q'))), Act::End);
}

#[test]
fn of_one_torrent_peers_pieces_requests_and_messages_are_there() {
    let mut state = opened();
    let peer = Peer {
        number: 7,
        addr: "192.0.2.7:6881".into(),
        outgoing: false,
        client: Some("qBittorrent 5.1".into()),
        am_choking: true,
        am_interested: true,
        peer_choking: false,
        peer_interested: true,
        snubbed: true,
        requests: 12,
        window: 30,
        pieces: 4,
        rate_down: 4000,
        rate_up: 0,
        downloaded: 1,
        uploaded: 1,
    };
    let pieces = Pieces { count: 6, length: 16384, have: "a8".into(), begun: vec![1] };
    state.hear(News::Details { id: ID.into(), peers: vec![peer], pieces: Some(pieces) });
    let block = Block { piece: 1, offset: 0, length: 16384 };
    state.hear(said(100, Direction::Out, Said::Request(block)));
    state.hear(said(700, Direction::In, Said::Piece(block)));
    state.hear(said(1200, Direction::In, Said::RejectRequest(block)));
    state.hear(News::Lost(9));
    let text = shown(&state);
    for part in [
        "film",
        "Pieces 3 of 6, 1 under way",
        "█·█ █",
        "1 peer",
        "192.0.2.7:6881",
        "DuSI",
        "12/30",
        "qBittorrent 5.1",
        "peer 7",
        "·█x",
        "Messages, 9 left out",
        "<- request piece 1, 16384 bytes at 0",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert_eq!(state.key(key(KeyCode::Esc)), Act::Look(None));
    assert!(shown(&state).contains("album"));
}

#[test]
fn messages_that_are_held_stay_as_they_are() {
    let mut state = opened();
    for at in 0..3 {
        state.hear(said(at, Direction::In, Said::Have { piece: u32::try_from(at).unwrap() }));
    }
    state.key(key(KeyCode::Char(' ')));
    state.hear(said(9, Direction::In, Said::Choke));
    assert!(shown(&state).contains("Messages, held") && !shown(&state).contains("choke\n"));
    assert_eq!(state.open.as_ref().unwrap().lines.len(), 3);
    state.key(key(KeyCode::Char(' ')));
    state.hear(said(10, Direction::In, Said::Unchoke));
    assert_eq!(state.open.as_ref().unwrap().lines.len(), 4);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut state = opened();
    for at in 0..MAX_LINES + 5 {
        state.hear(said(at as u64, Direction::In, Said::Choke));
    }
    let open = state.open.as_mut().unwrap();
    assert_eq!(open.lines.len(), MAX_LINES);
    for second in 0..MAX_SAMPLES + 5 {
        open.rates.put(second as u64, 0);
    }
    assert_eq!((open.rates.down.len(), open.rates.down[0]), (MAX_SAMPLES, 5));
    let mut timeline = Timeline::default();
    for slot in [5, 6, 5 + 2 * MAX_SLOTS as u128] {
        timeline.note(slot, |slot| slot.came += 1);
    }
    assert_eq!(timeline.slots.len(), MAX_SLOTS);
    let now = 7 + 2 * MAX_SLOTS as u128;
    let came: Vec<_> = timeline.up_to(now, 4).iter().map(|slot| slot.map(|slot| slot.came)).collect();
    assert_eq!(came, [Some(0), Some(1), Some(0), Some(0)]);
    for number in 0..MAX_TIMELINES as u64 + 5 {
        let peer = Far { number: Some(number), addr: None };
        let block = Block { piece: 0, offset: 0, length: 1 };
        let (direction, said) = (Direction::In, Said::Piece(block));
        let kind = EventKind::Message { peer, direction, said, reason: None, took: None };
        let torrent = InfoHash::V1(types::InfoHashV1([1; 20]));
        open.note(&Event { v: VERSION, at: Duration::ZERO, torrent, kind });
    }
    assert_eq!(open.timelines.len(), MAX_TIMELINES);
}

#[tokio::test]
async fn who_is_too_fast_waits() {
    let feed = Feed::new(api::Client::new("http://127.0.0.1:1", None).unwrap());
    (0..MAX_NEWS).for_each(|_| feed.sender.try_send(News::Lost(1)).unwrap());
    assert!(feed.sender.try_send(News::Lost(1)).is_err());

    let (sender, begun) = std::sync::mpsc::channel();
    let keys = keys(move || {
        let _ = sender.send(());
        Ok(Pressed::FocusGained)
    });
    // The next one is read when those before are in the queue.
    (0..=MAX_KEYS).for_each(|_| begun.recv().unwrap());
    assert_eq!((keys.len(), keys.capacity()), (MAX_KEYS, 0));
}

#[test]
fn rows_end_where_the_list_does() {
    let mut state = opened();
    state.key(key(KeyCode::Esc));
    (0..9).for_each(|_| drop(state.key(key(KeyCode::Down))));
    assert_eq!(state.selected, 1);
    state.hear(News::Torrents(vec![torrent("album", "11", 0)]));
    assert_eq!(state.selected, 0, "the other one is gone");
    state.hear(News::Torrents(Vec::new()));
    assert_eq!(state.key(key(KeyCode::Enter)), Act::Nothing);
}
