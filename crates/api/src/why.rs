//! What holds a torrent back.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// What holds a torrent back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Why {
    /// The torrent's id.
    pub id: String,
    /// The weightiest first; none if nothing is seen.
    pub causes: Vec<Cause>,
}

/// One cause, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cause {
    /// Which, as one word for programs: `paused`, `queued`, `checking`, `moving`, `complete`, `unsettled`, `stopped`, `disk_full`, `unavailable`, `failed`,
    /// `metadata_missing`, `tracker_errors`, `port_unreachable`, `no_peers`, `nobody_has`, `disk_waits`, `choked`, `snubbed`,
    /// `rate_limit`, `requests_empty`, `shared_limit`, `slow_peers`; there may be more.
    pub cause: String,
    /// From 1 to 100: how much of the download it holds back, as far as can be told.
    pub weight: u8,
    /// What is seen, on one line.
    pub says: String,
    /// What may be done about it.
    pub advice: String,
    /// What is seen, as fields, which depend on the cause.
    #[schema(value_type = Object)]
    pub evidence: Map<String, Value>,
}
