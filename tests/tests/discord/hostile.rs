//! For the scoreboard (`cargo xtask hostile`): a chat that is spoken to by strangers, and a Discord that is broken.

use std::time::{Duration, Instant};

use rawtorrent_tests::content::Sample;
use rawtorrent_tests::metafile;
use rawtorrent_tests::score::score;
use serde_json::Value;

use crate::common;
use crate::stage::{NAME, Plan, Stage, operator};

/// How long an answer may take.
const ANSWER_IN: Duration = Duration::from_secs(2);
/// Names that would do something in a chat, if they were more than words there.
const WORDS: [&str; 10] = [
    "@everyone come",
    "@here",
    "<@123456789012345678>",
    "<#10>",
    "</stop:5>",
    "**loud** _and_ ~~low~~",
    "||hidden||",
    "`code`",
    "[free](https://evil.example)",
    "# heading",
];

/// All text that stands in a body, wherever.
fn texts(body: &Value) -> Vec<&str> {
    match body {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Object(all) => {
            // What is typed in, and what a button says of itself, is no text that is read.
            let read = all.iter().filter(|(key, _)| !["custom_id", "url", "value"].contains(&key.as_str()));
            read.flat_map(|(_, value)| texts(value)).collect()
        }
        _ => Vec::new(),
    }
}

/// What of a text is more than words: neither escaped nor in a block of code.
fn live(text: &str) -> String {
    let outside: String = text.split("```").step_by(2).collect();
    let mut live = String::new();
    let mut chars = outside.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            chars.next();
        } else {
            live.push(c);
        }
    }
    live
}

#[test]
fn hostile_words_are_inert_in_a_chat() {
    let stage = Stage::set(&Plan { config: "[limits]\ndownloads = 20\n", ..Plan::default() });
    let operator = operator();
    for (number, word) in WORDS.iter().enumerate() {
        // Its own name, and those of its files, are as bad, and turn the line around.
        let inner = ["\u{202e}<@1>", "\u{61c}@everyone"][number % 2];
        let name = format!("{word}{inner}{number}");
        let sample = Sample { name: Box::leak(name.into_boxed_str()), layout: &[("", 1000)] };
        let path = stage.home.path().join(format!("{number}.torrent"));
        std::fs::write(&path, metafile::torrent(&sample, None)).unwrap();
        stage.allow(&path, word);
        let begun = stage.ask(&operator, "download", &[("name", word)]);
        assert!(begun.starts_with("Downloading"), "{word}: {begun}");
        for command in ["status", "why"] {
            stage.ask(&operator, command, &[("name", word)]);
        }
    }
    stage.ask(&operator, "torrents", &[]);
    for word in WORDS {
        // What nobody may download is named back to who asked.
        stage.ask(&operator, "download", &[("name", &format!("{word} not"))]);
    }
    let calls = stage.end();
    let mut read = 0;
    for call in &calls {
        // Commands are ours.
        for text in texts(&call.body).into_iter().filter(|_| !call.what.ends_with("/commands")) {
            read += 1;
            let live = live(text);
            assert!(!WORDS.iter().any(|word| live.contains(word)), "{}: {text}", call.what);
            let turns = |c: char| matches!(c, '\u{61c}' | '\u{202e}') || c.is_control() && c != '\n';
            assert!(!text.contains(turns), "{}: {text:?}", call.what);
        }
    }
    score(
        "hostile_words_are_inert_in_a_chat",
        "texts of the bot about torrents whose names mention, link, mark up, and turn lines around",
        read,
        "each name was words and nothing else",
        "0 mentions, links and marks",
    );
}

/// What a gateway never says.
fn nonsense() -> Vec<String> {
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let event = |data: &str| format!(r#"{{"op":0,"t":"INTERACTION_CREATE","s":3,"d":{data}}}"#);
    vec![
        String::new(),
        "{".into(),
        "null".into(),
        "[1,2,3]".into(),
        deep.clone(),
        format!(r#"{{"op":0,"t":"READY","s":2,"d":{deep}}}"#),
        r#"{"op":99,"t":null,"s":null,"d":null}"#.into(),
        r#"{"op":-1}"#.into(),
        r#"{"op":0,"t":"NO_SUCH_EVENT","s":4,"d":{}}"#.into(),
        r#"{"op":10,"t":null,"s":null,"d":{"heartbeat_interval":-5}}"#.into(),
        event("null"),
        event("{}"),
        event(r#"{"id":"x","token":7}"#),
        event(r#"{"id":"1","application_id":"0","type":2,"token":"t","version":1,"data":{"options":[]}}"#),
        event(&format!(r#"{{"id":"{}"}}"#, "9".repeat(10_000))),
        format!("\u{1b}[2J{}", "x".repeat(60_000)),
    ]
}

/// Whether the bot answers, before long; not if it has ended.
fn answers(stage: &mut Stage) -> bool {
    let deadline = Instant::now() + common::LIMIT;
    while stage.bot.process.is_running() && Instant::now() < deadline {
        let token = stage.discord.command(&operator(), "status", &[]);
        if stage.discord.wait(ANSWER_IN, |seen| seen.answer(&token).cloned()).is_some() {
            return true;
        }
    }
    false
}

#[test]
fn a_hostile_discord() {
    let mut stage = Stage::set(&Plan::default());
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    let mut count = 0;
    for text in nonsense() {
        // It may take that for the end of the connection, and comes again.
        stage.discord.say(&text);
        count += 1;
        let shown: String = text.chars().take(60).collect();
        assert!(answers(&mut stage), "after {shown:?}: {}", stage.bot.process.stderr());
    }
    // Its web server is broken.
    let bodies = ["", "{", "<html>nginx</html>", r#"{"id":7}"#, "\u{1b}[2J", &"[".repeat(100_000)];
    for (number, body) in bodies.iter().cycle().take(18).enumerate() {
        stage.discord.break_next([200, 400, 500, 502, 204, 404][number / 3], body);
        let _ = stage.discord.command(&operator(), "status", &[]);
        count += 1;
    }
    assert!(answers(&mut stage), "{}", stage.bot.process.stderr());
    let log = stage.bot.process.stderr();
    let harmful = |c: char| c.is_control() && c != '\n';
    assert!(!log.contains("panicked") && !log.contains(harmful), "{log}");
    score(
        "a_hostile_discord",
        "texts of a gateway that are no events, and broken answers of the web server",
        count,
        "the bot answered after each",
        "it goes on; nothing of it is drawn",
    );
}
