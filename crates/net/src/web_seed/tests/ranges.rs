//! Servers that answer with less than was asked for, or with more.

use super::*;
use crate::conn::LONG_WAIT;

#[tokio::test]
async fn for_what_an_answer_leaves_out_it_is_asked_again() {
    let at_most = |len: u64| {
        move |asked: &Asked| {
            let last = asked.last.min(asked.first + len - 1);
            good(&content(), &Asked { last, ..asked.clone() })
        }
    };
    let server = Server::start(at_most(100_000)).await;
    let scene = scene(&server, ONE).await;
    scene.ask(0..10).await;
    scene.until_there(blocks_of(0..10).len()).await;
    assert_right(&scene.disk, &content());
    let asked: Vec<_> = server.asked().iter().map(|asked| (asked.first, asked.last)).collect();
    let expected: Vec<_> = (0..TOTAL).step_by(100_000).map(|first| (first, TOTAL - 1)).collect();
    assert_eq!(asked, expected);
    // But not for next to nothing at a time.
    let least = MIN_PROGRESS as u64;
    let error = error_of(at_most(least - 1)).await;
    assert!(matches!(error, WebSeedError::WrongRange), "{error}");
    let server = Server::start(at_most(least)).await;
    let scene = self::scene(&server, ONE).await;
    scene.ask(0..1).await;
    scene.until_there(4).await;
}

#[tokio::test]
async fn a_server_without_ranges_is_read_from_the_start_if_that_is_not_far() {
    let content = content();
    let file = content.clone();
    let server = Server::start(move |_| reply("200 OK", &file)).await;
    let scene = scene(&server, ONE).await;
    scene.ask(2..4).await;
    scene.ask(7..10).await;
    scene.until_there(blocks_of(2..4).len() + blocks_of(7..10).len()).await;
    assert_right(&scene.disk, &content);
    let part = |offset| Part { file: 0, file_len: 2 * MAX_SKIPPED, offset, len: 5, is_pad: false };
    let judged = |offset| {
        let response = axum::http::Response::builder().status(200).body("").unwrap();
        fetch::judge(response.into(), part(offset)).map(|_| ())
    };
    assert!(judged(MAX_SKIPPED).is_ok());
    assert!(matches!(judged(MAX_SKIPPED + 1), Err(WebSeedError::NoRanges)));
}

fn blocks_in(len: u64) -> Vec<BlockRange> {
    let lengths = Lengths::new(len, PIECE).unwrap();
    let of = |piece| (0..lengths.block_count(piece)).map(move |number| lengths.block(piece, number).unwrap());
    lengths.pieces().flat_map(of).collect()
}

/// A server that sends two files from their start on, whatever is asked for, a pad file between them, and what they are.
async fn without_ranges(first: u64) -> (Server, Vec<u8>, [(&'static str, u64); 3]) {
    let files = [("a", first), (".pad/x", 70_000), ("b", first)];
    let mut content = content_of(2 * first + 70_000);
    let pad = usize::try_from(first).unwrap()..usize::try_from(first + 70_000).unwrap();
    content[pad.clone()].fill(0);
    let whole = content.clone();
    let server = Server::start(move |asked| match &*asked.path {
        "/a" => reply("200 OK", &whole[..pad.start]),
        _ => reply("200 OK", &whole[pad.end..]),
    });
    (server.await, content, files)
}

#[tokio::test]
async fn a_server_without_ranges_is_swept_and_what_is_asked_for_meanwhile_is_taken() {
    let (server, content, files) = without_ranges(3 * MAX_SKIPPED + 5).await;
    let scene = scene(&server, &files).await;
    let blocks = blocks_in(content.len() as u64);
    // As the brain does: so many at once, and each time one comes the next.
    let (window, mut asked) = (600, 0);
    while asked < blocks.len() {
        let there = scene.disk.blocks.lock().unwrap().len();
        let next = blocks.len().min(there + window);
        scene.command(blocks[asked..next].iter().copied().map(Command::Request).collect()).await;
        asked = next;
        scene.until_there(there + 1).await;
    }
    scene.until_there(blocks.len()).await;
    assert_right(&scene.disk, &content);
    let times = |path: &str| server.asked().iter().filter(|asked| asked.path == path).count();
    let (a, b) = (times("/a"), times("/b"));
    assert!(a <= 6 && b <= 3, "{a} and {b} requests");
}

#[tokio::test]
async fn what_lies_behind_is_had_with_the_next_sweep() {
    let (server, content, files) = without_ranges(3 * MAX_SKIPPED).await;
    let scene = scene(&server, &files).await;
    let blocks = blocks_in(content.len() as u64);
    for (n, &block) in [blocks[700], blocks[5], *blocks.last().unwrap(), blocks[600]].iter().enumerate() {
        scene.command(vec![Command::Request(block)]).await;
        scene.until_there(n + 1).await;
    }
    assert_right(&scene.disk, &content);
}

#[tokio::test]
async fn a_server_without_ranges_is_given_up_when_too_much_is_read_in_vain() {
    let len = 2 * MAX_VAIN;
    let server = Server::start(move |_| Reply {
        bytes: format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\nbegin").into_bytes(),
        then: Then::Stall,
    });
    let server = server.await;
    let scene = scene(&server, &[("file", len)]).await;
    scene.command(vec![Command::Request(*blocks_in(len).last().unwrap())]).await;
    let error = scene.error().await;
    assert!(matches!(error, WebSeedError::NoRanges) && error.outlook() == Outlook::Hopeless, "{error}");
}

#[tokio::test]
async fn a_block_that_waits_long_for_the_disk_is_told() {
    let server = Server::start(|asked| good(&content(), asked)).await;
    let mut scene = scene(&server, ONE).await;
    scene.disk.room.forget_permits(usize::MAX);
    scene.command(vec![Command::Request(blocks_of(0..1)[0])]).await;
    while scene.disk.arrived.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::advance(LONG_WAIT).await;
    scene.disk.room.add_permits(1);
    let told = scene.batches.recv().await.unwrap().events;
    assert!(matches!(told[..], [Event::Waited(took)] if took >= LONG_WAIT), "{told:?}");
}
