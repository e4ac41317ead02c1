//! Where the URL of a torrent file leads: a person's own, but not so its redirects.

mod certificates;

use super::*;
use crate::lookup::world;

/// Loopback in all spellings that somebody could take for it, of which a URL may have any.
pub(crate) const LOOPBACK: [&str; 24] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.255.255.254",
    "%31%32%37.0.0.1",
    "%E2%91%A0%E2%91%A1%E2%91%A6.0.0.1",
    "127%E3%80%820%E3%80%820%E3%80%821",
    "[::1]",
    "[0:0::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "localhost",
    "LOCALHOST",
    "x.inside.test",
];

/// Metadata services, likewise.
pub(crate) const METADATA: [&str; 18] = [
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.169.254.",
    "%E2%91%A0%E2%91%A5%E2%91%A8.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "[fd00:ec2::254]",
    "metadata.test",
];

/// Gives the names above to addresses.
pub(crate) fn names() {
    world::name("x.inside.test", &["127.0.0.1 ::1"]);
    world::name("metadata.test", &["169.254.169.254 fd00:ec2::254"]);
}

#[tokio::test]
async fn a_torrent_file_is_not_fetched_from_inside_by_way_of_a_redirect() {
    names();
    let inside = RawServer::start(|_| ok("secret")).await;
    let port = inside.addr.port();
    let outside = RawServer::start_at(world::PUBLIC, move |target| {
        redirect(&format!("http://{}:{port}/announce", &target[1..]))
    })
    .await;
    for host in LOOPBACK {
        let line = error_line(&outside, &format!("/{host}")).await;
        assert!(line.ends_with("it redirects to a private address"), "{host}: {line}");
    }
    for host in METADATA {
        let line = error_line(&outside, &format!("/{host}")).await;
        assert!(line.ends_with("must not be asked"), "{host}: {line}");
        let line = client().fetch(&format!("http://{host}/"), QUICK).await.unwrap_err().to_string();
        assert!(line.ends_with("must not be asked"), "{host}: {line}");
    }
    assert_eq!(inside.requests.lock().unwrap().len(), 0);
    // From inside to inside it may go, and from outside to outside.
    let inside_url = inside.url("/");
    let home = RawServer::start(move |_| redirect(&inside_url)).await;
    assert_eq!(fetch(&home, "/").await.unwrap(), b"secret");
    score(
        "a_torrent_file_is_not_fetched_from_inside_by_way_of_a_redirect",
        "redirects from the internet to loopback and metadata services, and URLs of these, in every spelling",
        LOOPBACK.len() + 2 * METADATA.len(),
        "0 connections inside",
        "0 connections inside",
    );
}
