//! Web seeds that mean harm: by where they lead, and by how slow they are.

use super::*;
use crate::http::tests::hostile::{LOOPBACK, METADATA, names};
use crate::http::tests::score;

/// What comes of a web seed whose one file is at this URL.
pub(crate) async fn outcome_at(url: &str) -> String {
    let scene = match client(true).find(url).await {
        Ok(seed) => scene_at(url, seed, ONE),
        Err(error) => return error.to_string(),
    };
    scene.ask(0..1).await;
    scene.error().await.to_string()
}

#[tokio::test]
async fn no_web_seed_leads_inside() {
    names();
    let inside = Server::start(|asked| good(&content(), asked)).await;
    let port = inside.addr.port();
    for host in LOOPBACK {
        let error = client(false).find(&format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(error, WebSeedError::Private), "{host}: {error}");
        let to = format!("http://{host}:{port}/file");
        let outside = Server::start_at(world::PUBLIC, move |_| redirect(&to)).await;
        assert_eq!(outcome_at(&outside.url("/")).await, "it redirects to a private address", "{host}");
    }
    for host in METADATA {
        let error = client(true).find(&format!("http://{host}:{port}/")).await.unwrap_err();
        assert!(matches!(error, WebSeedError::Forbidden), "{host}: {error}");
        for from in [world::PUBLIC, "127.0.0.1"] {
            let to = format!("http://{host}:{port}/file");
            let server = Server::start_at(from, move |_| redirect(&to)).await;
            let said = outcome_at(&server.url("/")).await;
            assert!(said.ends_with("must not be asked"), "{host} from {from}: {said}");
        }
    }
    assert_eq!(inside.asked(), []);
    score(
        "no_web_seed_leads_inside",
        "web seeds at loopback and metadata services, and redirects to these, in every spelling",
        LOOPBACK.len() * 2 + METADATA.len() * 3,
        "0 requests inside",
        "0 requests inside",
    );
}

#[tokio::test]
async fn a_web_seed_whose_name_changes_is_not_followed_inside() {
    let inside = Server::start(|asked| good(&content(), asked)).await;
    let port = inside.addr.port();
    // Outside when it is looked at, inside when it is dialled.
    world::name("rebinds.test", &[world::PUBLIC, "127.0.0.1"]);
    assert_eq!(outcome_at(&format!("http://rebinds.test:{port}/")).await, "it is at a private address");
    // Inside when it is looked at, which the owner allows, and then outside, from where it redirects.
    let to = inside.url("/file");
    let outside = Server::start_at(world::PUBLIC, move |_| redirect(&to)).await;
    world::name("turns.test", &["127.0.0.1", world::PUBLIC]);
    let said = outcome_at(&format!("http://turns.test:{}/", outside.addr.port())).await;
    assert_eq!(said, "the host's address has just changed");
    assert_eq!((inside.asked().len(), outside.asked().len()), (0, 0));
    score(
        "a_web_seed_whose_name_changes_is_not_followed_inside",
        "names that lead elsewhere between check and connection",
        2,
        "0 requests inside",
        "0 requests inside",
    );
}

#[tokio::test]
async fn a_byte_every_ten_seconds_is_as_good_as_silence() {
    // A line of the head, the head, a block.
    for sent in [30, 150, 20_000] {
        let waited = stalled_after(sent, Then::Drip).await;
        assert!(waited <= STALL_TIMEOUT + Duration::from_secs(1), "{waited:?}");
    }
    score(
        "a_byte_every_ten_seconds_is_as_good_as_silence",
        "web seeds that send a byte every ten seconds, in the head, before and in the content",
        3,
        "each left after 30 s",
        "left after 30 s, asked again later",
    );
}
