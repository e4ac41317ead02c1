//! What torrents and their peers say, as it happens.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// Of what is said, what is wanted. Of each sort several may be given, with commas between them; every sort must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TraceQuery {
    /// The torrent's id, or the beginning of it. What the DHT's node asks and is asked for no torrent is of none, then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torrent: Option<String>,
    /// The number of a connection, or an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// A kind of event (`handshake`, `pieces`, `dht`) or of message (`request`, `have-all`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `in` or `out`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// Addresses are told; they are left out if it is not said. For tokens of scope `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<bool>,
}

/// What comes first in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceBegan {
    /// The version of the events' form.
    pub v: u32,
    /// When the time of events is zero, in seconds since 1970.
    pub began: f64,
}

/// That events were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceLost {
    /// How many since that was told last: they came faster than they were read.
    pub lost: u64,
}

/// What comes in the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Traced {
    /// The first of all.
    Began(TraceBegan),
    /// An event.
    Event(Value),
    /// Some were lost here.
    Lost(TraceLost),
}
