//! A request to the daemon's API: a line with its query, headers, a body. What is let in is ours, what is asked for is there.
#![no_main]

use common::plant;
use daemon::{Access, Tokens, reading};
use libfuzzer_sys::fuzz_target;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |&byte| byte == 0);
    let (head, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    query(lines.next().unwrap_or_default());
    headers(lines);
    bodies(body);
});

fn query(line: &str) {
    let Ok(uri) = format!("/api/v1/torrents?{line}").parse() else { return };
    plant(|| reading::list(&uri).is_some_and(|list| list.since > Some(7) && list.limit == Some(5)));
    let roots = [PathBuf::from("/srv/media"), PathBuf::from("/data")];
    if let Some(dir) = reading::folder(&uri, &roots) {
        assert!(
            roots.iter().any(|root| dir.starts_with(root))
                && !dir.components().any(|part| part.as_os_str() == "..")
        );
    }
}

fn headers<'a>(lines: impl Iterator<Item = &'a str>) {
    let mut headers = axum::http::HeaderMap::new();
    for line in lines.take(64) {
        let Some((name, value)) = line.split_once(": ") else { continue };
        let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) else { continue };
        headers.append(name, value);
    }
    let access = Access::new(Tokens::default(), &["seedbox.example".into()]);
    let text = |name: &str| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    if reading::is_ours(&access, &headers) {
        let host = text("host").expect("who is let in says whom it means").to_ascii_lowercase();
        let name =
            host.rfind(']').map_or_else(|| host.split(':').next().unwrap_or_default(), |end| &host[..=end]);
        let ip = name.trim_matches(['[', ']']).parse::<IpAddr>();
        assert!(
            name == "localhost" || name == "seedbox.example" || ip.is_ok_and(|ip| !ip.is_unspecified()),
            "{host}"
        );
        if let Some(origin) = text("origin") {
            let origin = origin.to_ascii_lowercase();
            assert!(origin == format!("http://{host}") || origin == format!("https://{host}"), "{origin}");
        }
    }
    if let Some(Ok(range)) = text("range").and_then(|range| reading::range(range, 1000)) {
        assert!(range.start < range.end && range.end <= 1000);
    }
}

fn bodies(body: &[u8]) {
    if reading::names(body) {
        let text = String::from_utf8_lossy(body).to_ascii_lowercase();
        assert!(["magnet", "http"].iter().any(|scheme| text.contains(scheme)) || text.contains("\\u"));
    }
    if let Some(choices) = reading::change(body) {
        assert_eq!(choices.dir, Path::new("/"), "where it is can't be changed like this");
        assert!(!choices.paused);
    }
    let _ = reading::settings(body);
}
