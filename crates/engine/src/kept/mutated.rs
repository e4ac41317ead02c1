//! A store whose rows are not what they were: the session begins all the same, and has no piece that is not there.

use super::{Choices, Mounts, Record, Session, first_rows, record_again};
use crate::doctor::look;
use crate::{Metainfo, Settings, TorrentState, resume};
use metainfo::create::Builder;
use std::fs;
use std::path::Path;
use storage::Snapshot;
use store::{Change, Store, Table};
use types::{Bitfield, InfoHash, Lengths, PieceIndex};

/// Each has one row that is not what it was.
const TORRENTS: u64 = 500;
const PIECE: usize = 16_384;
const PIECES: usize = 3;
/// Of each torrent's file.
const SPOILED: u32 = 1;

/// A torrent, most of which is there and known to be.
struct Sample {
    info_hash: InfoHash,
    rows: Vec<Change>,
}

impl Sample {
    fn new(number: u64, dir: &Path) -> Sample {
        let mut content = vec![number.to_le_bytes()[0]; PIECE * PIECES];
        content[..8].copy_from_slice(&number.to_le_bytes());
        let hashes = content.chunks(PIECE).flat_map(hash::sha1).collect();
        let name = number.to_string();
        let torrent = Builder::file(name.as_str(), content.len() as u64).piece_length(16_384).pieces(hashes);
        let torrent = torrent.build().unwrap();
        content[PIECE * SPOILED as usize] ^= 1;
        let path = dir.join(&name);
        fs::write(&path, content).unwrap();
        let info_hash = Metainfo::parse(&torrent).unwrap().info_hash();
        let mut pieces = Bitfield::new(3);
        for piece in [0, 2] {
            pieces.insert(PieceIndex::new(piece));
        }
        let disk = Snapshot { pieces, partial: Vec::new(), ours: vec![true], files: vec![look(&path)] };
        let before = resume::Record::before_the_first_run(Lengths::new(1, 1).unwrap(), 1, None);
        let record = resume::Record { clean: true, disk, ..before };
        let mut rows =
            Vec::from(first_rows(info_hash, torrent, number, Choices::new(dir), &Mounts::default()));
        rows.push(record.row(info_hash.wire()));
        Sample { info_hash, rows }
    }
}

/// Some bytes are others, more, fewer, or in another order.
fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..=3) {
        let at = rng.usize(..=bytes.len());
        let end = (at + rng.usize(..8)).min(bytes.len());
        match rng.u32(..5) {
            0 => bytes.insert(at, rng.u8(..)),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => bytes[at..end].reverse(),
            _ => bytes[at..end].iter_mut().for_each(|byte| *byte ^= 1 << rng.u32(..8)),
        }
    }
}

/// The same with a row of a torrent, unless its files would be looked for outside of the test.
fn spoil(rng: &mut fastrand::Rng, row: &mut Change, dir: &Path) {
    let before = row.value.clone().unwrap();
    loop {
        let mut after = before.clone();
        mutate(rng, &mut after);
        let leads_out = Record::decode(&after).is_some_and(|record| {
            let choices = &record.choices;
            !choices.dir.starts_with(dir) || choices.dir_when_complete.is_some() || record.moving.is_some()
        });
        if after != before && !(row.table == Table::Torrents && leads_out) {
            row.value = Some(after);
            return;
        }
    }
}

#[test]
fn a_mutated_row_is_lost_or_written_again_as_it_was_read() {
    let mut choices = Choices::new("/srv/x");
    (choices.names, choices.category) = ([(1, "b/c".to_owned())].into(), Some("films".to_owned()));
    choices.tags = ["a".to_owned(), "b".to_owned()].into();
    choices.peers = vec!["192.0.2.1:1".parse().unwrap()];
    choices.tiers = Some(vec![vec!["http://t/announce".to_owned()]]);
    let good = Record::new(7, choices, None).encode();
    let (mut rng, mut read) = (fastrand::Rng::with_seed(3), 0);
    for _ in 0..20_000 {
        let mut row = good.clone();
        mutate(&mut rng, &mut row);
        if let Some(once) = record_again(&row) {
            assert_eq!(record_again(&once).as_ref(), Some(&once), "{}", String::from_utf8_lossy(&row));
            read += 1;
        }
    }
    assert!((1_000..20_000).contains(&read), "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_mutated_rows_hold_up_no_session() {
    let home = tempfile::tempdir().unwrap();
    let (state, dir) = (home.path().join("state"), home.path().join("files"));
    fs::create_dir(&dir).unwrap();
    let settings = || Settings { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Settings::new(&state) };
    let (session, _) = Session::open(settings()).await.unwrap();
    session.edit_settings(|settings| settings.max_up = Some(1 << 20)).await.unwrap();
    session.ban("192.0.2.1".parse().unwrap()).await.unwrap();
    session.watch(super::WatchFolder::new("/none")).await.unwrap();
    session.shutdown().await;

    let mut rng = fastrand::Rng::with_seed(7);
    let (store, mut opened) = Store::open_and_load(&state, &[Table::Session]).unwrap();
    let kept = opened.tables.remove(&Table::Session).unwrap().rows;
    assert!(kept.len() >= 3, "{}", kept.len());
    let mut rows: Vec<Change> =
        kept.into_iter().map(|(key, row)| Change::put(Table::Session, key, row)).collect();
    rows.iter_mut().for_each(|row| mutate(&mut rng, row.value.as_mut().unwrap()));
    let samples: Vec<Sample> = (0..TORRENTS).map(|number| Sample::new(number, &dir)).collect();
    for sample in &samples {
        let mut of_torrent = sample.rows.clone();
        let which = rng.usize(..of_torrent.len());
        spoil(&mut rng, &mut of_torrent[which], &dir);
        rows.extend(of_torrent);
    }
    store.commit(rows).await.unwrap();
    store.close().await;

    let (session, kept) = Session::open(settings()).await.unwrap();
    assert_eq!(kept.torrents + kept.lost, samples.len());
    let listed = loop {
        let listed = session.list().await;
        let is_looked_at = |state| state != Some(TorrentState::Checking);
        if listed.iter().all(|torrent| is_looked_at(torrent.state)) {
            break listed;
        }
        tokio::task::yield_now().await;
    };
    let mut whole = 0;
    for torrent in &listed {
        assert!(samples.iter().any(|sample| sample.info_hash == torrent.info_hash), "{}", torrent.name);
        let done = torrent.stats.map_or(0, |stats| stats.done);
        assert!(done <= 2 * PIECE as u64, "{} of {}", done, torrent.name);
        whole += usize::from(done == 2 * PIECE as u64);
    }
    assert!(whole > samples.len() / 5 && kept.lost > samples.len() / 5, "{whole} whole, {kept:?}");
    session.shutdown().await;
}

/// A crash came before that was taken away.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_torrent_wrote_last_says_nothing_of_it_when_it_is_added_again() {
    let home = tempfile::tempdir().unwrap();
    let (state, dir) = (home.path().join("state"), home.path().join("files"));
    fs::create_dir(&dir).unwrap();
    let mut sample = Sample::new(1, &dir);
    fs::remove_file(dir.join("1")).unwrap();
    let (torrent, progress) = (sample.rows.remove(1).value.unwrap(), sample.rows.remove(1));
    assert_eq!(progress.table, Table::Progress);
    let (store, _) = Store::open(&state).unwrap();
    store.commit(vec![progress]).await.unwrap();
    store.close().await;
    let settings = Settings { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Settings::new(&state) };
    let (session, _) = Session::open(settings).await.unwrap();
    session.add(torrent, Choices::new(&dir)).await.unwrap();
    let state = loop {
        match session.list().await[0].state {
            Some(TorrentState::Checking | TorrentState::Queued) => tokio::task::yield_now().await,
            state => break state,
        }
    };
    assert_eq!(state, Some(TorrentState::Downloading));
    session.shutdown().await;
}
