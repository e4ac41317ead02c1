//! Numbers for Prometheus, in its text format. None is told per torrent: ten thousand would be too many.

use crate::routes::State;
use api::State as TorrentState;
use axum::extract::State as Shared;
use axum::http::header;
use axum::response::IntoResponse;
use std::fmt::Write;
use std::sync::Arc;

/// Numbers for Prometheus.
#[utoipa::path(get, path = "/metrics", security(("token" = ["read"])), responses(
    (status = 200, body = String, content_type = "text/plain"),
))]
pub(crate) async fn metrics(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    let (revision, torrents) = state.board.all();
    let mut text = String::new();
    head(&mut text, "rawtorrent_torrents", "gauge", "Torrents by what they are doing.");
    for doing in TorrentState::ALL {
        let count = torrents.iter().filter(|torrent| torrent.state == doing).count();
        // A string takes everything.
        let _ = writeln!(text, "rawtorrent_torrents{{state=\"{}\"}} {count}", doing.name());
    }
    let sum = |of: fn(&api::Torrent) -> u64| {
        torrents.iter().map(|torrent| of(torrent)).fold(0, u64::saturating_add)
    };
    let mut gauge = |name: &str, help: &str, value: u64| {
        head(&mut text, name, "gauge", help);
        let _ = writeln!(text, "{name} {value}");
    };
    gauge("rawtorrent_peers", "Connections with peers.", sum(|t| t.peers as u64));
    let tasks = state.session.engine().tasks();
    gauge("rawtorrent_tasks", "Tasks of torrents, connections and a few others.", tasks as u64);
    gauge("rawtorrent_download_bytes_per_second", "Payload received, of late.", sum(|t| t.rate_down));
    gauge("rawtorrent_upload_bytes_per_second", "Payload sent, of late.", sum(|t| t.rate_up));
    gauge(
        "rawtorrent_downloaded_bytes",
        "Payload received by the torrents that run.",
        sum(|t| t.downloaded.unwrap_or(0)),
    );
    gauge(
        "rawtorrent_uploaded_bytes",
        "Payload sent by the torrents that run.",
        sum(|t| t.uploaded.unwrap_or(0)),
    );
    gauge(
        "rawtorrent_wanted_bytes",
        "Bytes of wanted pieces of the torrents that run.",
        sum(|t| t.wanted.unwrap_or(0)),
    );
    gauge(
        "rawtorrent_done_bytes",
        "Verified bytes of wanted pieces of the torrents that run.",
        sum(|t| t.done.unwrap_or(0)),
    );
    gauge("rawtorrent_revision", "Changes to torrents are counted on from here.", revision);
    head(&mut text, "rawtorrent_build_info", "gauge", "The version.");
    let _ = writeln!(text, "rawtorrent_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
