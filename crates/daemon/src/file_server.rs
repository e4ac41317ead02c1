//! One file, to a player on this machine: of a torrent that an engine has here, or of a daemon's.

use crate::Error;
use crate::access::{Access, From};
use crate::error::Refusal;
use crate::routes::stream::{MAX_STREAMS, not_running, part_of};
use crate::serve::{Front, accept_tcp};
use crate::tokens::Tokens;
use api::Client;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::get;
use engine::{Metainfo, Torrent};
use futures_util::stream::try_unfold;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// What a player is told of an answer of the daemon's.
const PASSED_ON: [&str; 5] =
    ["content-type", "content-length", "content-range", "content-disposition", "accept-ranges"];

/// Where the file comes from.
#[derive(Debug)]
pub enum Served {
    /// A torrent that runs here.
    Torrent {
        /// Its handle.
        torrent: Torrent,
        /// What it is made of.
        metainfo: Arc<Metainfo>,
        /// The file's number, from 0.
        index: usize,
    },
    /// A torrent of a daemon.
    Daemon {
        /// Who asks it.
        client: Client,
        /// The torrent's id.
        id: String,
        /// The file's number, from 0.
        index: usize,
    },
}

/// Serves one file on loopback, with ranges, to whoever is on this machine; no page of anybody's.
#[derive(Debug)]
pub struct FileServer {
    listener: TcpListener,
    addr: SocketAddr,
}

struct State {
    served: Served,
    access: Access,
    streams: Arc<Semaphore>,
}

impl FileServer {
    /// Opens a port; those who connect wait until [`FileServer::serve`]. To be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn open() -> Result<FileServer, Error> {
        let fail = |error: std::io::Error| Error::Listen {
            addr: "a port of loopback".into(),
            reason: error.to_string(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(fail)?;
        let addr = listener.local_addr().map_err(fail)?;
        Ok(FileServer { listener, addr })
    }

    /// The URL of a file that is called `path` in its torrent. Players look at how it ends; the server does not.
    pub fn url(&self, path: &str) -> String {
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut url = format!("http://{}/", self.addr);
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(byte));
                }
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        url
    }

    /// Serves until `end`.
    pub async fn serve(self, served: Served, end: impl Future<Output = ()>) {
        let streams = Arc::new(Semaphore::new(MAX_STREAMS));
        let state = Arc::new(State { served, access: Access::new(Tokens::default(), &[]), streams });
        let router = move |_: From| {
            let checked = state.clone();
            let check = from_fn(move |request, next| check(checked.clone(), request, next));
            Router::new().route("/{*name}", get(file)).with_state(state.clone()).layer(check)
        };
        let (close, closing) = watch::channel(false);
        let accept = accept_tcp(self.listener, Arc::new(Front::new(router, closing)));
        tokio::select! {
            () = accept => {}
            () = end => {}
        }
        close.send_replace(true);
    }
}

async fn check(state: Arc<State>, request: Request, next: Next) -> Response<Body> {
    match state.access.check_origin(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

async fn file(Shared(state): Shared<Arc<State>>, headers: HeaderMap) -> Result<Response<Body>, Refusal> {
    let permit = state.streams.clone().try_acquire_owned().map_err(|_| Refusal::busy())?;
    match &state.served {
        Served::Torrent { torrent, metainfo, index } => {
            let file = metainfo.files().get(*index).ok_or_else(Refusal::not_here)?;
            let reader = async || torrent.reader().await.map_err(not_running);
            part_of(file, &headers, permit, std::future::pending(), reader).await
        }
        Served::Daemon { client, id, index } => {
            let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
            let found = client.file(id, *index, range).await;
            let found =
                found.map_err(|error| Refusal::new(StatusCode::BAD_GATEWAY, "daemon", error.to_string()))?;
            let (status, told) =
                (found.status(), PASSED_ON.map(|name| (found.header(name), HeaderName::from_static(name))));
            let body = try_unfold((found, permit), async |(mut found, permit)| {
                let next = found.next().await.map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(next.map(|bytes| (bytes, (found, permit))))
            });
            let mut answer = Response::new(Body::from_stream(body));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            for (value, name) in told {
                if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                    answer.headers_mut().insert(name, value);
                }
            }
            Ok(answer)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[tokio::test]
    async fn a_url_ends_like_the_file_and_has_nothing_strange() {
        let server = FileServer::open().await.unwrap();
        let url = server.url("a/b/Film #1 (é).mkv");
        assert!(
            url.starts_with("http://127.0.0.1:") && url.ends_with("/Film%20%231%20%28%C3%A9%29.mkv"),
            "{url}"
        );
    }
}
