//! The Discord bot from outside: a stand-in for Discord, a real daemon, a real seed, all on loopback.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::path::PathBuf;

use common::daemon::Daemon;
use common::{Home, LIMIT};
use rawtorrent_tests::binary::Session;
use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::discord::{Call, Discord, Place, TOKEN};
use serde_json::Value;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// A name that would mention everybody, if it could.
const NAME: &str = "@everyone *sample*";
const CHANNEL: u64 = 10;

/// All that a bot needs.
struct Stage {
    discord: Discord,
    daemon: Daemon,
    home: Home,
    config: PathBuf,
    bot: Session,
}

impl Stage {
    /// The bot is connected, and may offer the sample.
    fn set(options: &[&str]) -> Stage {
        let home = Home::new(Sample::MULTI);
        let daemon = Daemon::start(&home, &[&["--no-dht", "--no-lsd"], options].concat());
        let config = home.path().join("bot.toml");
        std::fs::write(&config, "guilds = [1]\nchannels = [10]\n[roles]\noperator = [100]\nadmin = [101]\n")
            .unwrap();
        let mut allow = home.command();
        allow
            .args(["discord", "allow", "--name", NAME, "--licence", "CC0 1.0", "--config"])
            .arg(&config)
            .arg(&home.torrent);
        let allowed = common::run(&mut allow);
        assert_eq!(allowed.code(), Some(0), "{}", allowed.stderr);
        let discord = Discord::start().unwrap();
        let bot = begin(&discord, &daemon, &home, &config);
        Stage { discord, daemon, home, config, bot }
    }

    fn id(&self) -> String {
        hex(&self.home.info_hash)
    }

    /// What is answered to a command.
    fn ask(&self, place: &Place, name: &str, options: &[(&str, &str)]) -> String {
        let token = self.discord.command(place, name, options);
        self.answer(&token)
    }

    fn answer(&self, token: &str) -> String {
        let answer = self.discord.wait(LIMIT, |seen| seen.answer(token).cloned());
        let body = answer.unwrap_or_else(|| panic!("no answer: {}", self.bot.process.stderr())).body;
        let text = if body["data"].is_object() { &body["data"]["content"] } else { &body["content"] };
        text.as_str().unwrap().to_owned()
    }

    fn call(&self, is: impl Fn(&Call) -> bool) -> Call {
        let call = self.discord.wait(LIMIT, |seen| seen.calls().iter().rev().find(|call| is(call)).cloned());
        call.unwrap_or_else(|| {
            panic!("no such request: {:#?}\n{}", self.discord.calls(), self.bot.process.stderr())
        })
    }

    /// Ends all, and asserts that no rule was broken and nothing was told that must not be.
    fn end(mut self) -> Vec<Call> {
        let (code, _) = self.bot.interrupt().unwrap();
        let stderr = self.bot.process.stderr();
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(self.discord.faults(), Vec::<String>::new());
        let calls = self.discord.calls();
        let told = calls.iter().map(|call| {
            let files =
                call.files.iter().map(|(name, bytes)| format!("{name} {}", String::from_utf8_lossy(bytes)));
            format!("{} {} {}", call.what, call.body, files.collect::<String>())
        });
        let log = format!("{}{stderr}", self.bot.process.stdout());
        for text in told.chain([log]) {
            for secret in [TOKEN, "127.0.0.1", "[::1]", &*self.home.path().display().to_string()] {
                assert!(!text.contains(secret), "{secret}: {text}");
            }
        }
        self.daemon.end();
        calls
    }
}

fn begin(discord: &Discord, daemon: &Daemon, home: &Home, config: &std::path::Path) -> Session {
    let before = discord.wait(LIMIT, |seen| Some(seen.sessions().0)).unwrap();
    let mut command = home.command();
    command.args(["-v", "discord", "--config"]).arg(config).env("DISCORD_TOKEN", TOKEN);
    command.args(["--host", &format!("http://{}", daemon.addr)]);
    command.env("RAWTORRENT_DISCORD_REST", discord.rest.to_string());
    command.env("RAWTORRENT_DISCORD_GATEWAY", format!("ws://{}", discord.gateway));
    let bot = common::start(&mut command);
    let is_there = discord.wait(LIMIT, |seen| (seen.sessions().0 > before).then_some(()));
    assert!(is_there.is_some(), "the bot does not come: {}", bot.process.stderr());
    bot
}

fn somebody(user: u64, roles: &[u64]) -> Place {
    Place { guild: 1, channel: CHANNEL, user, roles: roles.to_vec() }
}

fn description(call: &Call) -> &str {
    call.body["embeds"][0]["description"].as_str().unwrap_or_default()
}

fn is_edit(call: &Call) -> bool {
    call.what.starts_with("PATCH /channels/") && call.status == 200
}

#[test]
fn a_download_is_asked_for_watched_and_summed_up() {
    let (_seed_home, _seed, addr) = common::real_seed(Sample::MULTI);
    // Slow enough to be looked at twice.
    let stage = Stage::set(&["--peer", &addr.to_string(), "--max-down", "250K"]);
    let (reader, operator) = (somebody(5, &[]), somebody(6, &[100]));

    let token = stage.discord.complete(&operator, "download", "name", "SAMPLE");
    let offered = stage.call(|call| call.what.contains(&token));
    assert_eq!(offered.body["data"]["choices"][0]["value"], NAME);
    assert_eq!(stage.ask(&reader, "torrents", &[]), r"**\@everyone \*sample\*** · 3.0 MiB · CC0 1\.0");
    let refused = stage.ask(&reader, "download", &[("name", NAME)]);
    assert_eq!(refused, "That needs the role operator, which you do not have here.");
    let elsewhere = Place { channel: 11, ..operator.clone() };
    assert!(stage.ask(&elsewhere, "status", &[]).contains("channels that my configuration names"));
    assert!(stage.ask(&operator, "download", &[("name", "another")]).contains("not on the list"));

    let begun = stage.ask(&operator, "download", &[("name", NAME)]);
    assert_eq!(begun, r"Downloading **\@everyone \*sample\***, 3.0 MiB.");
    let edit = stage.call(|call| {
        is_edit(call) && ["**downloading**", "request"].iter().all(|word| description(call).contains(word))
    });
    assert_eq!(edit.body["components"][0]["components"][0]["custom_id"], format!("pause:{}", stage.id()));
    assert!(stage.ask(&reader, "peers", &[]).contains("rawtorrent"));
    assert!(stage.ask(&reader, "watch", &[("what", "handshakes")]).contains("handshakes"));
    assert!(stage.ask(&reader, "explain", &[("message", "bitfield")]).contains("(BEP 3)"));

    let summary = stage.call(|call| description(call).starts_with("Every byte is here"));
    let copy = tempfile::tempdir().unwrap();
    let root = Sample::MULTI.write(copy.path()).unwrap();
    let bytes = std::fs::read(root.join("nested/deep/deeper/odd.bin")).unwrap();
    for digest in [hex(&Sha1::digest(&bytes)), hex(&Sha256::digest(&bytes))] {
        assert!(description(&summary).contains(&digest), "{}", description(&summary));
    }
    let [(graph, png), (log, trace)] = &summary.files[..] else { panic!("{:?}", summary.files.len()) };
    assert_eq!((&**graph, &**log, &png[..4]), ("speed.png", "trace.txt", &b"\x89PNG"[..]));
    let trace = String::from_utf8_lossy(trace);
    for word in
        ["handshake: rawtorrent", "<- request piece", "-> piece", "is good", "every wanted piece is good"]
    {
        assert!(trace.contains(word), "{word}: {trace}");
    }
    let done = stage.call(|call| is_edit(call) && description(call).contains("**seeding**"));
    assert!(description(&done).contains("100.0%"));
    stage.home.assert_downloaded();
    let token = stage.discord.command(&reader, "pieces", &[]);
    assert!(stage.answer(&token).contains("pieces are here"));
    assert_eq!(
        stage.call(|call| call.what.contains(&token) && !call.files.is_empty()).files[0].0,
        "pieces.png"
    );

    let other = somebody(7, &[100]);
    assert_eq!(stage.ask(&other, "stop", &[]), "That needs the role admin, which you do not have here.");
    assert!(stage.ask(&somebody(8, &[101]), "stop", &[]).contains("is stopped"));
    assert_eq!(stage.ask(&reader, "status", &[]), "Nothing is under way; /download begins something.");
    transcript(&stage.end());
}

/// What was sent, in order, without what differs from run to run: edits that follow one another are one.
fn transcript(calls: &[Call]) {
    let mut lines: Vec<String> = Vec::new();
    for call in calls {
        let mut words: Vec<&str> = call.what.split('/').collect();
        for word in &mut words {
            if word.starts_with("interaction-") {
                *word = "TOKEN";
            } else if word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_digit()) {
                *word = "ID";
            }
        }
        let kind = call.body["type"].as_u64().map_or(String::new(), |kind| format!(" type {kind}"));
        let files: String = call.files.iter().map(|(name, _)| format!(" +{name}")).collect();
        let line = format!("{}{kind}{files} {}", words.join("/"), call.status);
        // What is edited meanwhile depends on the machine.
        if !line.starts_with("PATCH /channels/") {
            lines.push(line);
        }
    }
    let expected = include_str!("discord/transcript.txt");
    assert_eq!(lines.join("\n"), expected.trim_end());
}

#[test]
fn it_survives_what_happens() {
    // Nobody has it: it stays as it is.
    let mut stage = Stage::set(&[]);
    let operator = somebody(6, &[100]);
    stage.ask(&operator, "download", &[("name", NAME)]);
    let edit = stage.call(is_edit);

    stage.discord.refuse(2);
    assert!(stage.ask(&operator, "status", &[]).contains("peers"), "after 429s");
    assert_eq!(stage.discord.calls().iter().filter(|call| call.status == 429).count(), 2);

    stage.discord.cut();
    let resumed = stage.discord.wait(LIMIT, |seen| (seen.sessions().1 == 1).then(|| seen.sessions().0));
    assert_eq!(resumed, Some(1), "the same session goes on");
    assert!(stage.ask(&operator, "why", &[]).contains("1. **"), "it says what is wrong");

    let (code, _) = stage.bot.interrupt().unwrap();
    assert_eq!(code, Some(0));
    let before = stage.discord.calls().len();
    stage.bot = begin(&stage.discord, &stage.daemon, &stage.home, &stage.config);
    let again =
        stage.discord.wait(LIMIT, |seen| seen.calls()[before..].iter().find(|call| is_edit(call)).cloned());
    assert_eq!(again.unwrap().what, edit.what, "the live message is found again");

    let pause = format!("pause:{}", stage.id());
    let token = stage.discord.press(&operator, &pause);
    assert!(stage.answer(&token).ends_with("rests."));
    assert_eq!(stage.daemon.get(&format!("/api/v1/torrents/{}", stage.id())).json()["state"], "paused");
    stage.daemon.done(&stage.home, &["remove", &stage.id()]);
    let closed = stage.call(|call| is_edit(call) && description(call).contains("It was removed"));
    assert_eq!(closed.body["components"], Value::Array(Vec::new()));

    stage.ask(&operator, "download", &[("name", NAME)]);
    let sent = stage.call(|call| is_edit(call) && call.what != edit.what);
    stage.discord.delete(sent.what.rsplit('/').next().unwrap().parse().unwrap());
    stage.daemon.done(&stage.home, &["pause", &stage.id()]);
    stage.call(|call| call.what == sent.what && call.status == 404);
    assert!(stage.ask(&operator, "status", &[]).contains("paused"), "without its message it goes on");
    stage.end();
}
