//! What can go wrong at the start, and how a request's failure is told.

use api::{PROBLEM_JSON, Problem};
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why the daemon does not serve.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// Which.
        addr: String,
        /// The system's words.
        reason: String,
    },
    /// Who could reach it from elsewhere would need no token.
    #[error(
        "{0} can be reached from other machines, and there is no token; make one with 'rawtorrent token add NAME'"
    )]
    Open(SocketAddr),
    /// A folder that torrents are to go into has no absolute path.
    #[error("a root must be an absolute path, and {} is not", .0.display())]
    Root(PathBuf),
    /// Tokens cannot be read or kept.
    #[error("cannot keep tokens in {}: {reason}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A hook makes no sense.
    #[error("{0}")]
    Hook(String),
    /// There is nothing to sign a webhook's requests with.
    #[error("cannot read the key of a webhook, {}: {reason}", path.display())]
    HookKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A token of that name is there already, or there is none, or they are too many.
    #[error("{0}")]
    Token(String),
}

/// A request that is refused, or failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    /// Seconds after which it may be different.
    again: Option<u32>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Refusal {
        // Parsers quote what they were given.
        let detail = detail.into().replace(char::is_control, " ");
        Refusal { status, kind, detail, again: None }
    }

    pub(crate) fn again_after(self, seconds: u32) -> Refusal {
        Refusal { again: Some(seconds), ..self }
    }

    pub(crate) fn bad(detail: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    pub(crate) fn busy() -> Refusal {
        let detail = "too much is being done already; ask again";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).again_after(1)
    }

    pub(crate) fn slow(detail: &str) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "slow", detail).again_after(5)
    }

    pub(crate) fn not_here() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "not_here", "there is no such torrent")
    }
}

impl From<engine::Error> for Refusal {
    fn from(error: engine::Error) -> Refusal {
        use engine::Error as E;
        let status = match &error {
            E::NotHere(_) => StatusCode::NOT_FOUND,
            E::AlreadyAdded(_) | E::InUse(_) => StatusCode::CONFLICT,
            E::V2Only | E::NothingSelected | E::Torrent(_) | E::Magnet(_) | E::Refused(_) | E::Disk(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            E::Fetch(_) => StatusCode::BAD_GATEWAY,
            E::ShutDown | E::Unsaved(_) | E::StateFull(_) | E::State { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, error.kind(), error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let title = self.status.canonical_reason().unwrap_or("Failed");
        let problem = Problem::new(self.status.as_u16(), title, self.kind, self.detail);
        // A problem is plain data: it can always be written.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"rawtorrent\""));
        }
        if let Some(seconds) = self.again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}
