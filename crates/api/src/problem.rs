//! What went wrong (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request was not carried out (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:rawtorrent:problem:` and the kind.
    #[serde(rename = "type")]
    pub type_: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong and what to do, on one line.
    pub detail: String,
    /// One word for programs, stable over versions.
    pub kind: String,
}

impl Problem {
    /// A problem of that HTTP status, whose title is `title`.
    pub fn new(status: u16, title: &str, kind: &str, detail: impl Into<String>) -> Problem {
        Problem {
            type_: format!("urn:rawtorrent:problem:{kind}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            kind: kind.to_owned(),
        }
    }
}
