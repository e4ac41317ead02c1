//! For fuzz targets alone: what a session makes of rows of its store, whatever is in them.

use crate::Metainfo;
use crate::doctor::record_of;
use crate::kept::{self, SessionSettings};

/// A torrent's row as it is written again; `None` if it is lost.
pub fn record(row: &[u8]) -> Option<Vec<u8>> {
    kept::record_again(row)
}

/// How many files of a torrent are wanted by its row, and how many pieces it has; `None` if the row is lost, or is refused.
pub fn torrent(row: &[u8], torrent: &[u8]) -> Option<(usize, u32)> {
    let metainfo = Metainfo::parse(torrent).ok()?;
    let key = metainfo.info_hash().wire().0;
    let row = kept::read_row(&key, row, Some(torrent))?;
    let layout = storage::Layout::new(row.metainfo.clone()).ok()?.renamed(&row.choices.names).ok()?;
    let wanted = row.choices.wanted_files(row.metainfo.clone())?;
    Some((wanted, layout.lengths().piece_count()))
}

/// The settings of a session as they are written again; `None` if they are lost.
pub fn session(row: &[u8]) -> Option<Vec<u8>> {
    SessionSettings::again(row)
}

/// How many pieces a row claims of a torrent; `None` if it is lost.
pub fn claimed(row: &[u8], torrent: &[u8]) -> Option<u32> {
    let metainfo = Metainfo::parse(torrent).ok()?;
    Some(record_of(row, &metainfo)?.disk.pieces.count_ones())
}
