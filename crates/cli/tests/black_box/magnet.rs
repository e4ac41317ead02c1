//! Magnet links, from a seeder that is named.

use crate::seeder::{LOOPBACK, Seeder};
use crate::support::{Place, Ran, noise, same};
use crate::web_server::WebServer;
use std::fs;

fn place() -> Place {
    let place = Place::new();
    place.write("t/a", noise(300_000));
    place.write("t/b/c", noise(20_000));
    place.torrent("t");
    place
}

fn link(place: &Place) -> String {
    place.run(&["magnet", "t.torrent"]).done().text().trim().to_owned()
}

fn download(place: &Place, args: &[&str]) -> Ran {
    place.run(&[&["download"], args, &LOOPBACK].concat())
}

#[test]
fn a_link_gives_the_torrent_alone() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &[]);
    let link = link(&place);
    let args = [&link, "--metadata-only", "-o", "got.torrent", "--peer", &seeder.addr];
    download(&place, &args).done();
    assert!(!place.path("t/got").exists() && !place.path("got").exists());
    let (made, got) = (place.show("t.torrent"), place.show("got.torrent"));
    for key in ["info_hash_v1", "files", "piece_length", "name"] {
        assert_eq!(made[key], got[key], "{key}");
    }
    assert!(!made["files"].is_null());
    // What it gives is good for a download.
    download(&place, &["got.torrent", "-o", "got", "--peer", &seeder.addr]).done();
    assert!(same(&place.path("t"), &place.path("got/t")));
}

#[test]
fn a_link_chooses_files() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &[]);
    let chosen = format!("{}&so=1", link(&place));
    download(&place, &[&chosen, "-o", "got", "--peer", &seeder.addr]).done();
    assert!(same(&place.path("t/b/c"), &place.path("got/t/b/c")));
    assert!(!place.path("got/t/a").exists());
    // What the user says counts for more.
    download(&place, &[&chosen, "-o", "other", "--select", "a", "--peer", &seeder.addr]).done();
    assert!(same(&place.path("t/a"), &place.path("other/t/a")));
    assert!(!place.path("other/t/b/c").exists());
}

#[test]
fn a_link_names_peers() {
    let place = place();
    let seeder = Seeder::start(&place, "t.torrent", &[]);
    let port = seeder.addr.rsplit(':').next().unwrap();
    for (n, host) in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"].into_iter().enumerate() {
        let (named, state) =
            (format!("{}&x.pe={host}:{port}", link(&place)), place.path(&format!("state{n}")));
        // The metadata is known when it is downloaded again.
        for out in [format!("got{n}"), format!("again{n}")] {
            let args = ["download", &named, "-o", &out];
            let mut command = place.command(&[&args, &LOOPBACK[..]].concat());
            Ran::from(command.env("RAWTORRENT_STATE_DIR", &state).output().unwrap()).done();
            assert!(same(&place.path("t"), &place.path(&out).join("t")), "{host}");
        }
    }
}

#[test]
fn a_link_names_web_seeds() {
    let place = place();
    // The seeder knows what the torrent is, and lacks a file.
    place.write("web/t/a", place.read("t/a"));
    place.write("web/t/b/c", place.read("t/b/c"));
    fs::remove_file(place.path("t/a")).unwrap();
    let (seeder, server) = (Seeder::start(&place, "t.torrent", &[]), WebServer::start(place.path("web")));
    let named = format!("{}&ws={}", link(&place), server.url(""));
    download(&place, &[&named, "-o", "got", "--peer", &seeder.addr, "--allow-private"]).done();
    assert!(same(&place.path("web/t"), &place.path("got/t")));
    assert!(server.paths().contains(&"t/a".to_owned()), "{:?}", server.paths());
}
