//! A bot that is its own daemon.

use std::fs;
use std::net::TcpStream;

use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::discord::{Discord, TOKEN};
use rawtorrent_tests::process::Proc;

use crate::common::{self, Home, LIMIT};
use crate::stage::{self, NAME, description, operator};

#[test]
fn a_bot_with_a_daemon_of_its_own_downloads_and_leaves_nothing_running() {
    let (_seed_home, _seed, addr) = common::real_seed(Sample::MULTI);
    let home = Home::new(Sample::MULTI);
    let config = home.path().join("bot.toml");
    fs::write(&config, stage::CONFIG).unwrap();
    stage::allow(&home, &config, &home.torrent, NAME);
    // What a daemon would read.
    let settings = home.path().join("daemon.toml");
    let (out, peer) = (home.out(), addr.to_string());
    fs::write(&settings, format!("root = [{out:?}]\npeer = [{peer:?}]\nno_trackers = true\n")).unwrap();

    let discord = Discord::start().unwrap();
    let mut command = home.command();
    command.args(["-v", "discord", "--embedded", "--config"]).arg(&config).env("DISCORD_TOKEN", TOKEN);
    command.env("RAWTORRENT_CONFIG", &settings).env("RAWTORRENT_LISTEN", "127.0.0.1:0");
    command.env("RAWTORRENT_DISCORD_REST", discord.rest.to_string());
    command.env("RAWTORRENT_DISCORD_GATEWAY", format!("ws://{}", discord.gateway));
    let mut bot = common::start(&mut command);
    let said = |process: &Proc| process.stderr();
    let is_there = discord.wait(LIMIT, |seen| (seen.sessions().0 == 1).then_some(()));
    assert!(is_there.is_some(), "the bot does not come: {}", said(&bot.process));

    // As a daemon does, it takes this for a word about its configuration.
    bot.process.signal(rustix::process::Signal::HUP);
    let token = discord.command(&operator(), "download", &[("name", NAME)]);
    let begun = discord.wait(LIMIT, |seen| seen.answer(&token).cloned()).unwrap();
    assert!(begun.body["content"].as_str().unwrap().starts_with("Downloading"), "{}", begun.body);
    let summary = discord.wait(LIMIT, |seen| {
        seen.calls().iter().find(|call| description(call).starts_with("Every byte is here")).cloned()
    });
    assert!(summary.is_some(), "no summary: {}", said(&bot.process));
    home.assert_downloaded();

    // Others may ask it too, at its socket; it has no port.
    let socket = home.path().join("state/rawtorrent/api.sock");
    let list = common::run(home.command().arg("list").env("RAWTORRENT_SOCKET", &socket));
    assert!(list.stdout.contains(&hex(&home.info_hash)[..8]), "{}{}", list.stdout, list.stderr);
    assert!(TcpStream::connect("127.0.0.1:6880").is_err(), "a port is open");
    let mut second = home.command();
    second.args(["daemon", "--api", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--root"]).arg(home.out());
    common::assert_fails(&common::run(&mut second), &["another rawtorrent has the session"]);

    let (code, _) = bot.interrupt().unwrap();
    assert_eq!(code, Some(0), "{}", said(&bot.process));
    assert!(!socket.exists(), "its socket stays");
    // The session is free again, and knows what was there.
    let daemon = common::daemon::Daemon::start(&home, &[]);
    let state = || daemon.get(&format!("/api/v1/torrents/{}", hex(&home.info_hash))).json()["state"].clone();
    let deadline = std::time::Instant::now() + LIMIT;
    let seeds = rawtorrent_tests::poll(deadline, || (state() == "seeding").then_some(()));
    assert!(seeds.is_some(), "{}", state());
    daemon.end();
    assert_eq!(discord.faults(), Vec::<String>::new());
}

#[test]
fn a_bot_is_its_own_daemon_or_asks_one() {
    let home = Home::new(Sample::SINGLE);
    let mut both = home.command();
    both.args(["discord", "--embedded", "--host", "http://127.0.0.1:1"]).env("DISCORD_TOKEN", TOKEN);
    let refused = common::run(&mut both);
    assert_eq!(refused.code(), Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("--embedded") && refused.stderr.lines().count() == 1,
        "{}",
        refused.stderr
    );
}
