//! The rows of the bench, one file each.

mod first_block;
mod growth;
mod hash;
mod idle;
mod leech;
mod mixed;
mod seed;
mod slow_disk;
mod web_seed;

use anyhow::Result;
use clap::ValueEnum;

use crate::lab::Lab;
use crate::report::Table;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bytes as a number to divide by.
#[allow(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

#[allow(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Download 2 GiB from one fast source
    Leech,
    /// Seed 2 GiB to one reader
    Seed,
    /// Seed 2 GiB to four readers at once
    Seed4,
    /// Check 4 GiB that are in memory
    Recheck,
    /// Make a torrent of 4 GiB that are in memory
    Create,
    /// Download torrents of several sizes, piece lengths and numbers of peers
    Growth,
    /// How long it takes to get the first block
    FirstBlock,
    /// How long it takes to get metadata, and the first block, by a magnet link
    Magnet,
    /// Download 2 GiB from one web server
    WebSeed,
    /// Start with 1,000 torrents that are seeded, and have nobody to seed to
    Idle,
    /// The same with 10,000, which announce
    Many,
    /// Download beside a torrent on a slow disk, and onto one
    SlowDisk,
    /// Download from four different clients
    LeechMixed,
}

impl Row {
    pub(crate) const ALL: &[Row] = &[
        Row::Leech,
        Row::Seed,
        Row::Seed4,
        Row::Recheck,
        Row::Create,
        Row::Growth,
        Row::FirstBlock,
        Row::Magnet,
        Row::WebSeed,
        Row::Idle,
        Row::Many,
        Row::SlowDisk,
        Row::LeechMixed,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Row::Leech => "leech",
            Row::Seed => "seed",
            Row::Seed4 => "seed4",
            Row::Recheck => "recheck",
            Row::Create => "create",
            Row::Growth => "growth",
            Row::FirstBlock => "first-block",
            Row::Magnet => "magnet",
            Row::WebSeed => "web-seed",
            Row::Idle => "idle",
            Row::Many => "many",
            Row::SlowDisk => "slow-disk",
            Row::LeechMixed => "leech-mixed",
        }
    }

    pub(crate) fn run(self, lab: &Lab) -> Result<Table> {
        match self {
            Row::Leech => leech::run(lab),
            Row::Seed => seed::run_one(lab),
            Row::Seed4 => seed::run_four(lab),
            Row::Recheck => hash::run_recheck(lab),
            Row::Create => hash::run_create(lab),
            Row::Growth => growth::run(lab),
            Row::FirstBlock => first_block::run(lab),
            Row::Magnet => first_block::run_magnet(lab),
            Row::WebSeed => web_seed::run(lab),
            Row::Idle => idle::run_idle(lab),
            Row::Many => idle::run_many(lab),
            Row::SlowDisk => slow_disk::run(lab),
            Row::LeechMixed => mixed::run(lab),
        }
    }
}
