//! Who takes part, and what their lines are like; the simulator reads the same files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::router::Node;

/// Peers that a scenario may have: two cores carry no more of them without being part of the result.
pub const MAX_PEERS: usize = 10;
/// Bytes per second that all peers together may send: what the router moves without being late.
pub const MAX_TOTAL_UP: u64 = 20_000_000;
/// Bytes that the content may have: a peer's copy is compared in memory.
pub const MAX_SIZE: u64 = 1 << 30;

/// A swarm.
#[derive(Clone, Debug, Deserialize)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// Size of the content in bytes.
    pub size: u64,
    /// Length of a piece in bytes.
    pub piece_length: u32,
    /// Who takes part.
    pub peers: Vec<Peer>,
}

/// One peer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Peer {
    /// What it begins with.
    pub role: Role,
    /// What its line carries away from it, in bytes of payload per second.
    pub up: u64,
    /// What its line carries to it, in bytes of payload per second.
    pub down: u64,
    /// Its half of the way to another peer, in milliseconds: a round trip is twice both halves.
    pub latency_ms: f64,
    /// When it starts, in seconds.
    #[serde(default)]
    pub start_s: f64,
}

/// What a peer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Everything.
    Seed,
    /// Nothing; it seeds once it has everything.
    Leecher,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or asks for more than the lab can do.
    pub fn read(path: &Path) -> Result<Scenario> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Scenario::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Scenario> {
        let scenario: Scenario = serde_json::from_str(text)?;
        let peers = &scenario.peers;
        ensure!((2..=MAX_PEERS).contains(&peers.len()), "2 to {MAX_PEERS} peers are possible");
        ensure!((1..=MAX_SIZE).contains(&scenario.size), "a size of 1 to {MAX_SIZE} bytes is possible");
        ensure!(
            peers.iter().any(|peer| peer.role == Role::Seed && peer.start_s == 0.0),
            "no seed at second 0"
        );
        ensure!(peers.iter().any(|peer| peer.role == Role::Leecher), "no leecher");
        for peer in peers {
            ensure!(peer.up > 0 && peer.down > 0, "a rate is 0");
            ensure!((0.0..=1_000.0).contains(&peer.latency_ms), "latency_ms must be 0 to 1,000");
            ensure!((0.0..=100.0).contains(&peer.start_s), "start_s must be 0 to 100");
        }
        let total = peers.iter().fold(0_u64, |sum, peer| sum.saturating_add(peer.up));
        ensure!(total <= MAX_TOTAL_UP, "all peers together may send {MAX_TOTAL_UP} bytes per second");
        Ok(scenario)
    }

    /// The lines of all peers, in their order.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.peers.iter().map(Peer::node).collect()
    }
}

impl Peer {
    /// Its line. A packet of 1,500 bytes has 1,448 bytes of payload: the rest is headers of IP, and of TCP with
    /// timestamps.
    #[must_use]
    pub fn node(&self) -> Node {
        let line_rate = |payload_rate: u64| payload_rate.saturating_mul(1_500) / 1_448;
        Node {
            up_bytes_per_sec: line_rate(self.up),
            down_bytes_per_sec: line_rate(self.down),
            latency: Duration::from_secs_f64(self.latency_ms / 1_000.0),
        }
    }

    /// When it starts.
    #[must_use]
    pub fn start(&self) -> Duration {
        Duration::from_secs_f64(self.start_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_of_the_house_are_possible() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 5);
        for file in files {
            let scenario = Scenario::read(&file).unwrap();
            assert_eq!(Some(scenario.name.as_str()), file.file_stem().unwrap().to_str());
            assert!((5..=MAX_PEERS).contains(&scenario.peers.len()), "{}", scenario.name);
        }
    }

    #[test]
    fn what_the_lab_cannot_do_is_refused() {
        let with = |seed: &str, leecher: &str| {
            Scenario::parse(&format!(
                r#"{{"name":"x","size":1,"piece_length":16384,"peers":[{{"role":"seed",{seed}}},{{"role":"leecher",{leecher}}}]}}"#
            ))
        };
        let line = r#""up":1000,"down":1000,"latency_ms":20"#;
        assert!(with(line, line).is_ok());
        assert!(with(&format!(r#"{line},"start_s":1"#), line).is_err());
        assert!(with(line, r#""up":0,"down":1000,"latency_ms":20"#).is_err());
        assert!(with(line, r#""up":20000000,"down":1000,"latency_ms":20"#).is_err());
        assert!(with(line, r#""up":1000,"down":1000,"latency_ms":-1"#).is_err());
        assert!(with(line, r#""up":1000,"down":1000,"latency_ms":1,"start_s":-1"#).is_err());
    }

    #[test]
    fn a_line_carries_headers_besides_the_payload() {
        let peer = Peer { role: Role::Seed, up: 1_448_000, down: 2_896_000, latency_ms: 20.0, start_s: 0.0 };
        let node = peer.node();
        assert_eq!((node.up_bytes_per_sec, node.down_bytes_per_sec), (1_500_000, 3_000_000));
        assert_eq!(node.latency, Duration::from_millis(20));
    }
}
