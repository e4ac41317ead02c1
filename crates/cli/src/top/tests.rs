#![allow(clippy::unwrap_used, reason = "tests")]
use super::super::feed::{Feed, MAX_NEWS};
use super::super::{MAX_KEYS, keys, view};
use super::*;
use crate::failure::Failure;
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
        note: None,
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
    shown_at(state, 120, 40)
}

fn shown_at(state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(state, frame)).unwrap();
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer
        .content()
        .chunks(width.into())
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
    let pieces = Pieces { count: 6, length: 16384, have: "a8".into(), begun: vec![1] };
    let peers = vec![peer(7, 4000)];
    state.hear(News::Details { id: ID.into(), peers, pieces: Some(pieces) });
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

fn peer(number: u64, rate_down: u64) -> Peer {
    Peer {
        number,
        addr: format!("192.0.2.{number}:6881"),
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
        rate_down,
        rate_up: 0,
        downloaded: 1,
        uploaded: 1,
    }
}

#[test]
fn an_error_is_told_to_its_end() {
    let mut state = opened();
    let mut failed = torrent("album", ID, 0);
    let path = "/mnt/".to_owned() + &"folder/".repeat(20) + "日本語.bin";
    failed.error =
        Some(format!("cannot write {path}: Permission denied (os error 13); mend it, then resume it"));
    state.hear(News::Torrents(vec![failed]));
    for (width, height) in [(40, 20), (80, 24), (200, 60)] {
        let text = shown_at(&state, width, height);
        let all: String = text.lines().map(str::trim_end).collect::<Vec<_>>().concat();
        let all = all.replace(' ', "");
        assert!(all.contains(&path.replace(' ', "")), "{width}x{height}:\n{text}");
        assert!(all.contains("(oserror13);mendit,thenresumeit"), "{width}x{height}:\n{text}");
    }
}

#[test]
fn what_matters_has_room_on_any_screen() {
    let mut state = opened();
    let name = "日本語の長い名前 ".repeat(20);
    let mut long = torrent(&name, ID, 5000);
    long.error = Some("no permission".into());
    state.hear(News::Torrents(vec![torrent("album", &ID.replace('0', "2"), 0), long]));
    let peers = (0..50).map(|number| peer(number, number)).collect();
    state.hear(News::Details { id: ID.into(), peers, pieces: None });
    state.hear(said(100, Direction::In, Said::Unchoke));
    for (width, height) in [(40, 12), (60, 20), (80, 24), (200, 60)] {
        let text = shown_at(&state, width, height);
        let head = text.lines().next().unwrap();
        assert!(head.starts_with("日") && head.contains("…  downloading  25.0%"), "{text}");
        for part in ["no permission", "50 peers", "qBittorre", "Messages", "unchoke", "Esc back"] {
            assert!(text.contains(part), "{width}x{height}, {part}:\n{text}");
        }
        assert!(text.contains("│49 ") && !text.contains("│0 "), "not the fastest:\n{text}");
    }
    for (width, flags) in [
        (20, "└──────────────────┘"),
        (30, "└D/d it would send, it chokes┘"),
        (60, "└D/d it would send, it chokes  U/u we send, we choke───────┘"),
        (80, "└D/d it would send, it chokes  U/u we send, we choke  S snubbed  I it called───┘"),
    ] {
        let text = shown_at(&state, width, 24);
        assert!(text.contains(flags), "{text}");
        let keys = if width == 20 { "Esc back  q end" } else { "Esc back  q end  ↑↓ messages" };
        assert!(text.lines().last().unwrap().starts_with(keys), "{text}");
    }
    state.key(key(KeyCode::Esc));
    for (width, parts) in [
        (40, &["Name", "Done", "Down"][..]),
        (60, &["State"]),
        (80, &["Up", "downloading"]),
        (120, &["Size", "Peers"]),
    ] {
        let text = shown_at(&state, width, 12);
        let is_there = parts.iter().all(|part| text.contains(part));
        assert!(
            is_there && text.contains("album") && text.contains("… ") && text.contains("4.9 KiB/s"),
            "{text}"
        );
    }
    // However little there is, nothing breaks.
    for (width, height) in [(1, 1), (3, 2), (10, 5), (500, 3)] {
        shown_at(&state, width, height);
        state.key(key(KeyCode::Enter));
        shown_at(&state, width, height);
        state.key(key(KeyCode::Esc));
    }
}

#[test]
fn who_is_selected_stays_so_and_many_are_paged_through() {
    let mut state = State::new("here");
    let many = |from: u64| {
        News::Torrents(
            (from..2000)
                .map(|number| torrent(&format!("number {number}"), &format!("{number:040}"), 0))
                .collect(),
        )
    };
    state.hear(many(10));
    state.rows = 40;
    (0..3).for_each(|_| drop(state.key(key(KeyCode::PageDown))));
    let selected = |state: &State| state.torrents[state.selected].name.clone();
    assert_eq!(selected(&state), "number 70");
    assert!(shown(&state).contains("number 70"));
    state.hear(many(0));
    assert_eq!(selected(&state), "number 70", "others came before it");
    state.key(key(KeyCode::End));
    let text = shown(&state);
    assert!(text.contains("number 1999") && !text.contains("number 1950"), "{text}");
    state.key(key(KeyCode::PageUp));
    assert_eq!(selected(&state), "number 1979");
    state.key(key(KeyCode::Home));
    assert_eq!(selected(&state), "number 0");
}

#[test]
fn a_daemon_that_comes_back_is_another_one() {
    let mut state = opened();
    let block = Block { piece: 1, offset: 0, length: 16384 };
    state.hear(said(900_000, Direction::In, Said::Piece(block)));
    state.hear(News::Away(Failure::new("daemon", "nobody answers")));
    let text = shown(&state);
    assert!(text.contains("nobody answers") && text.contains("down -  up -"), "{text}");
    state.hear(News::Deaf { id: ID.into(), why: Failure::new("busy", "too many listen") });
    assert!(shown(&state).contains("Messages: too many listen"));
    state.hear(News::Listening(ID.into()));
    state.hear(News::Torrents(vec![torrent("film", ID, 5000)]));
    for at in [0, 1000] {
        state.hear(said(at, Direction::In, Said::Piece(block)));
    }
    let text = shown(&state);
    assert!(text.contains("█ █") && text.contains("┌Messages─") && text.contains("down 4.9 KiB/s"), "{text}");
    assert_eq!(state.key(key(KeyCode::Home)), Act::Nothing);
    assert!(shown(&state).contains("Messages, held"));
    state.key(key(KeyCode::End));
    assert!(shown(&state).contains("┌Messages─"));
}

#[test]
fn of_a_torrent_with_a_longer_hash_messages_are_heard_as_well() {
    let mut state = opened();
    let peer = Far { number: Some(7), addr: None };
    let kind =
        EventKind::Message { peer, direction: Direction::In, said: Said::Choke, reason: None, took: None };
    for (hash, lines) in [([1; 32], 1), ([2; 32], 1)] {
        let torrent = InfoHash::V2(types::InfoHashV2(hash));
        state.hear(News::Said(Box::new(Event {
            v: VERSION,
            at: Duration::ZERO,
            torrent,
            kind: kind.clone(),
        })));
        assert_eq!(state.open.as_ref().unwrap().lines.len(), lines);
    }
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
