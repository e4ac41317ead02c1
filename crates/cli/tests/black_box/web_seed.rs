//! Downloads from web seeds.

use crate::seeder::{LOOPBACK, Seeder, kill};
use crate::support::{Place, noise, same};
use crate::web_server::WebServer;
use std::io::{BufRead, BufReader};

const MIB: usize = 1 << 20;

/// A folder or file `t` and a server that has it.
fn place() -> (Place, WebServer) {
    let place = Place::new();
    place.write("t/a b", noise(3 * MIB));
    place.write("t/sub/c", noise(20_000));
    place.write("t/d", "");
    let server = WebServer::start(place.path(""));
    (place, server)
}

fn create(place: &Place, name: &str, web_seeds: &[String]) {
    let urls = web_seeds.iter().flat_map(|url| ["--web-seed", url]);
    let args: Vec<&str> =
        ["create", name, "-o", "t.torrent", "--piece-length", "64KiB"].into_iter().chain(urls).collect();
    place.run(&args).done();
}

fn download<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["download", "t.torrent", "-o", "got"], &LOOPBACK[..], more].concat()
}

#[test]
fn a_file_comes_from_a_web_seed_alone() {
    let (place, _) = place();
    place.write("one.bin", noise(5 * MIB + 77));
    let server = WebServer::start(place.path(""));
    create(&place, "one.bin", &[server.url("one.bin")]);
    let ran = place.run(&download(&["--allow-private", "--json"])).done();
    assert!(same(&place.path("one.bin"), &place.path("got/one.bin")));
    assert_eq!(server.served(), 5 * MIB + 77, "each byte once");
    assert_eq!(server.paths(), ["one.bin"]);
    assert_eq!(ran.json_lines().last().unwrap()["event"], "finished");
    assert!(!ran.stderr.contains("waiting for peers"), "{}", ran.stderr);
}

#[test]
fn https_is_spoken_to_who_can_prove_its_name() {
    let (place, _) = place();
    let authority = place.path("authority.pem");
    let server = WebServer::start_tls(place.path(""), &authority);
    create(&place, "t", &[server.url("")]);
    let mut stranger = place.command(&download(&["--allow-private"])).spawn().unwrap();
    let lines = BufReader::new(stranger.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.into_iter().find(|line| line.contains(" failed: ")).unwrap();
    kill(&stranger, "-TERM");
    stranger.wait().unwrap();
    assert!(said.contains("UnknownIssuer"), "{said}");
    assert_eq!(server.served(), 0);
    let mut command = place.command(&download(&["--allow-private"]));
    let ran = command.env("SSL_CERT_FILE", authority).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(same(&place.path("t"), &place.path("got/t")));
    assert_eq!(server.served(), 3 * MIB + 20_000, "each byte once");
}

#[test]
fn a_folder_comes_from_a_web_seed_alone() {
    let (place, server) = place();
    create(&place, "t", &[server.url("")]);
    place.run(&download(&["--allow-private"])).done();
    assert!(same(&place.path("t"), &place.path("got/t")));
    assert_eq!(server.paths(), ["t/a%20b", "t/sub/c"]);
}

#[test]
fn what_one_web_seed_lacks_comes_from_another() {
    let (place, _) = place();
    place.write("one/t/a b", noise(3 * MIB));
    place.write("two/t/sub/c", noise(20_000));
    let servers = ["one", "two"].map(|dir| WebServer::start(place.path(dir)));
    create(&place, "t", &[servers[0].url(""), servers[1].url(""), "http://127.0.0.1:9/".into()]);
    let ran = place.run(&download(&["--allow-private", "-v"])).done();
    assert!(same(&place.path("t"), &place.path("got/t")));
    assert!(ran.stderr.contains("a file is not there: HTTP status 404"), "{}", ran.stderr);
    assert!(ran.stderr.contains("web seed http://127.0.0.1:9 failed: cannot connect: "), "{}", ran.stderr);
}

#[test]
fn private_ones_have_to_be_allowed() {
    let (place, server) = place();
    create(&place, "t", &[server.url("?key=secret")]);
    let mut child = place.command(&download(&[])).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.into_iter().find(|line| line.contains("web seed")).unwrap();
    kill(&child, "-TERM");
    let name = server.url("").trim_end_matches('/').to_owned();
    assert_eq!(said, format!("web seed {name} is not used: it is at a private address (--allow-private)"));
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(server.paths(), [""; 0]);
}

#[test]
fn they_can_be_left_alone() {
    let (place, server) = place();
    create(&place, "t", &[server.url("")]);
    let mut child = place.command(&download(&["--no-web-seeds", "--allow-private"])).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "t: no trackers, no --peer: waiting for peers to connect"));
    kill(&child, "-TERM");
    child.wait().unwrap();
    assert_eq!(server.paths(), [""; 0]);
}

#[test]
fn a_killed_download_goes_on() {
    let (place, _) = place();
    place.write("one.bin", noise(48 * MIB));
    let server = WebServer::start(place.path(""));
    create(&place, "one.bin", &[server.url("one.bin")]);
    server.set_limit(Some(40 * MIB));
    let mut child = place.command(&download(&["--allow-private"])).spawn().unwrap();
    server.wait_served(40 * MIB);
    kill(&child, "-KILL");
    child.wait().unwrap();
    server.set_limit(None);
    place.run(&download(&["--allow-private"])).done();
    assert!(same(&place.path("one.bin"), &place.path("got/one.bin")));
    // What is not safe after a kill, and what was on its way.
    let again = server.served() - 48 * MIB;
    assert!(again <= 24 * MIB, "{again} bytes were fetched again");
}

#[test]
fn who_spoils_is_banned_and_others_finish() {
    let (place, server) = place();
    let server = server.spoiling();
    create(&place, "t", &[server.url("")]);
    let mut leecher = place.command(&download(&["--allow-private", "-v"]));
    leecher.env("RAWTORRENT_STATE_DIR", place.path("leecher"));
    let leecher = Seeder::spawn(leecher);
    let banned = leecher.wait_for("is not used: ");
    assert!(banned.ends_with("banned for bad data"), "{banned}");
    let _seeder = Seeder::start(&place, "t.torrent", &["--peer", &leecher.addr]);
    leecher.wait_for("finished");
    assert!(same(&place.path("t"), &place.path("got/t")));
}
