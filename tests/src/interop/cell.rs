//! The cells of the interop table.

use std::collections::BTreeSet;
use std::fmt;

use crate::content::Sample;

/// A client of other people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Partner {
    /// libtorrent (Rasterbar), driven through its Python module.
    Libtorrent,
    /// `transmission-daemon`.
    Transmission,
    /// `aria2c`.
    Aria2,
    /// `qbittorrent-nox`.
    Qbittorrent,
    /// `rtorrent`, with the other libtorrent (Rakshasa).
    Rtorrent,
}

/// What we do in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The partner seeds, we download.
    Leech,
    /// We seed, the partner downloads.
    Seed,
}

/// Which content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Files {
    /// [`Sample::SINGLE`]
    Single,
    /// [`Sample::MULTI`]
    Multi,
}

/// How the tracker is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tracker {
    /// BEP 3
    Http,
    /// BEP 15
    Udp,
}

/// The network protocol of everybody in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ip {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

/// One cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Who we trade with.
    pub partner: Partner,
    /// What we do.
    pub role: Role,
    /// What is sent.
    pub files: Files,
    /// Who introduces us.
    pub tracker: Tracker,
    /// Over which network.
    pub ip: Ip,
}

impl Partner {
    /// All of them, in the order of the table.
    pub const ALL: [Partner; 5] =
        [Partner::Libtorrent, Partner::Transmission, Partner::Aria2, Partner::Qbittorrent, Partner::Rtorrent];

    /// Whether it makes a torrent's files of length zero when it downloads; Transmission 3.00 leaves them out.
    #[must_use]
    pub fn makes_empty_files(self) -> bool {
        self != Partner::Transmission
    }
}

impl Files {
    /// The content behind the name.
    #[must_use]
    pub fn sample(self) -> Sample {
        match self {
            Files::Single => Sample::SINGLE,
            Files::Multi => Sample::MULTI,
        }
    }
}

impl Cell {
    /// How many cells the whole table has.
    pub const COUNT: usize = 80;

    /// The whole table.
    pub fn all() -> impl Iterator<Item = Cell> {
        Partner::ALL.into_iter().flat_map(|partner| {
            [Role::Leech, Role::Seed].into_iter().flat_map(move |role| {
                (0..8_u8).map(move |bits| Cell {
                    partner,
                    role,
                    ip: if bits & 4 == 0 { Ip::V4 } else { Ip::V6 },
                    tracker: if bits & 2 == 0 { Tracker::Http } else { Tracker::Udp },
                    files: if bits & 1 == 0 { Files::Single } else { Files::Multi },
                })
            })
        })
    }

    /// A quarter of the table, the same on every run: every pair of values is in it, and then as many triples as so
    /// few cells have room for.
    #[must_use]
    pub fn sample() -> Vec<Cell> {
        const SIZE: usize = 20;
        let pool: Vec<Cell> = Cell::all().filter(|cell| cell.not_applicable().is_none()).collect();
        let mut sample: Vec<Cell> = Vec::new();
        let mut met = BTreeSet::new();
        while sample.len() < SIZE {
            // A pair counts far more than a triple, so that pairs are complete first.
            let gain = |cell: &Cell| -> usize {
                cell.subsets()
                    .filter(|set| !met.contains(set))
                    .map(|set| if set.len() == 2 { 100 } else { 1 })
                    .sum()
            };
            let Some(best) = pool.iter().rev().max_by_key(|cell| gain(cell)).filter(|cell| gain(cell) > 0)
            else {
                break;
            };
            met.extend(best.subsets());
            sample.push(*best);
        }
        sample.sort();
        sample
    }

    /// All pairs and triples of this cell's values.
    fn subsets(&self) -> impl Iterator<Item = Vec<String>> + use<> {
        let values = self.values();
        (0..1_u32 << values.len()).filter(|bits| matches!(bits.count_ones(), 2 | 3)).map(move |bits| {
            (0..values.len()).filter(|at| bits & (1 << at) != 0).map(|at| values[at].clone()).collect()
        })
    }

    fn values(&self) -> [String; 5] {
        let Cell { partner, role, files, tracker, ip } = self;
        [partner.to_string(), role.to_string(), files.to_string(), tracker.to_string(), ip.to_string()]
    }

    /// Why the partner cannot take part in this cell, whoever is on the other side; `None` if it can.
    ///
    /// A self-check runs these cells with libtorrent in our place and is red if one of them works.
    #[must_use]
    pub fn not_applicable(&self) -> Option<&'static str> {
        if (self.tracker, self.ip) != (Tracker::Udp, Ip::V6) {
            return None;
        }
        match (self.partner, self.role) {
            (Partner::Aria2, _) => Some(
                "aria2 1.36 speaks to UDP trackers through its IPv4 socket alone: for a tracker with an IPv6 address \
                 `sendto` fails with EAFNOSUPPORT (seen with strace; its log says \"UDPT fail CONNECT\")",
            ),
            (Partner::Transmission, Role::Seed) => Some(
                "Transmission 3.00 reads the peers in a UDP tracker's answer as IPv4 whatever the tracker's address \
                 (its log says \"Got 3 seeds from tracker\" for one IPv6 peer, 18 bytes) and finds nobody",
            ),
            (Partner::Rtorrent, Role::Seed) => Some(
                "rTorrent 0.9.8 reads the peers in a UDP tracker's answer as IPv4 whatever the tracker's address: of \
                 one IPv6 peer, 18 bytes, it makes three (its log says \"received 3 peers\") and finds nobody",
            ),
            _ => None,
        }
    }
}

impl fmt::Display for Cell {
    /// A name for folders and filters: `aria2-leech-multi-udp-ipv4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.values().join("-").to_lowercase())
    }
}

impl fmt::Display for Partner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Partner::Libtorrent => "libtorrent",
            Partner::Transmission => "Transmission",
            Partner::Aria2 => "aria2",
            Partner::Qbittorrent => "qBittorrent",
            Partner::Rtorrent => "rTorrent",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::Leech => "leech",
            Role::Seed => "seed",
        })
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Files::Single => "single",
            Files::Multi => "multi",
        })
    }
}

impl fmt::Display for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Tracker::Http => "HTTP",
            Tracker::Udp => "UDP",
        })
    }
}

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Ip::V4 => "IPv4",
            Ip::V6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(cells: &[Cell]) -> BTreeSet<Vec<String>> {
        cells.iter().flat_map(Cell::subsets).filter(|set| set.len() == 2).collect()
    }

    #[test]
    fn the_table_is_whole_and_its_names_differ() {
        let names: BTreeSet<String> = Cell::all().map(|cell| cell.to_string()).collect();
        assert_eq!(names.len(), Cell::COUNT);
    }

    #[test]
    fn the_sample_meets_every_pair_of_values() {
        let sample = Cell::sample();
        assert!((16..=22).contains(&sample.len()), "{}", sample.len());
        assert_eq!(sample, Cell::sample());
        assert_eq!(pairs(&sample), pairs(&Cell::all().collect::<Vec<_>>()));
        let distinct: BTreeSet<Cell> = sample.iter().copied().collect();
        assert_eq!(distinct.len(), sample.len());
    }
}
