//! What happens to a bot: refusals, cut lines, deleted messages and channels, a daemon that goes, a torrent that is removed.

use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::discord::TOKEN;
use rawtorrent_tests::metafile;
use rustix::process::Signal;
use serde_json::Value;

use crate::common;
use crate::common::daemon::Daemon;
use crate::stage::{CHANNEL, NAME, Plan, Stage, description, is_edit, message, operator, somebody, trace_of};

/// Nobody has it: it stays as it is.
fn lonely(plan: &Plan<'_>) -> Stage {
    let stage = Stage::set(plan);
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    stage
}

#[test]
fn it_comes_back_and_finds_its_messages_again() {
    let mut stage = lonely(&Plan::default());
    let operator = operator();
    let edit = stage.call(is_edit);

    stage.discord.cut();
    let resumed = |times| {
        move |(identified, resumed, _): (usize, usize, usize)| (resumed == times).then_some(identified)
    };
    let wait =
        |stage: &Stage, times| stage.discord.wait(common::LIMIT, |seen| resumed(times)(seen.sessions()));
    assert_eq!(wait(&stage, 1), Some(1), "the same session goes on");
    assert!(stage.ask(&operator, "why", &[]).contains("1. **"), "it says what is wrong");
    stage.discord.tell(7, &Value::Null);
    assert_eq!(wait(&stage, 2), Some(1), "it was asked to connect again");
    stage.discord.tell(9, &Value::Bool(false));
    let anew = stage.discord.wait(common::LIMIT, |seen| (seen.sessions().0 == 2).then_some(()));
    assert!(anew.is_some(), "its session was ended: {}", stage.bot.process.stderr());
    assert!(stage.ask(&operator, "status", &[]).contains("peers"));

    stage.end_bot();
    let before = stage.count();
    stage.begin_bot();
    let again = stage.call_after(before, is_edit);
    assert_eq!(again.what, edit.what, "the live message is found again");
    let token = stage.discord.press(&operator, &format!("pause:{}", stage.id()));
    assert!(stage.answer(&token).ends_with("rests."));
    let torrent = stage.daemon.get(&format!("/api/v1/torrents/{}", stage.id())).json();
    assert_eq!(torrent["state"], "paused");

    // Removed while no bot looks.
    stage.end_bot();
    stage.daemon.done(&stage.home, &["remove", &stage.id()]);
    stage.begin_bot();
    let closed = stage.call(|call| is_edit(call) && description(call).contains("It was removed"));
    assert_eq!((closed.what, &closed.body["components"]), (edit.what, &Value::Array(Vec::new())));
    stage.end();
}

#[test]
fn after_a_restart_it_sums_up_what_it_saw() {
    let (_seed_home, _seed, addr) = common::real_seed(Sample::MULTI);
    let daemon = ["--peer", &addr.to_string(), "--max-down", "250K"];
    let mut stage = Stage::set(&Plan { daemon: &daemon, ..Plan::default() });
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    stage.call(|call| {
        is_edit(call)
            && description(call).contains("**downloading**")
            && !description(call).contains("· 0 B of ")
    });
    stage.end_bot();
    let book = std::fs::read_to_string(stage.home.path().join("state/rawtorrent/discord.json")).unwrap();
    let book: Value = serde_json::from_str(&book).unwrap();
    assert!(book["live"][stage.id()]["since"].as_u64().unwrap() > 0, "{book}");
    stage.begin_bot();
    let summary = stage.call(|call| description(call).starts_with("Every byte is here"));
    let told = description(&summary);
    assert!(told.contains("3.0 MiB, of which ") && told.contains(" came in "), "{told}");
    let trace = trace_of(&summary);
    assert!(
        trace.starts_with("(it begins here, when ") && trace.contains(" of 3.0 MiB were there"),
        "{trace}"
    );
    stage.end();
}

#[test]
fn it_waits_when_discord_says_so() {
    let stage = lonely(&Plan::default());
    let operator = operator();
    stage.discord.refuse(&["user", "user"]);
    assert!(stage.ask(&operator, "status", &[]).contains("peers"));
    stage.discord.refuse(&["shared", "user"]);
    assert!(stage.ask(&operator, "status", &[]).contains("peers"));
    let refused = || stage.discord.calls().iter().filter(|call| call.status == 429).count();
    assert_eq!(refused(), 4);
    // All of it waits, and asks again then: that it asks nothing meanwhile is among the rules.
    for scope in ["global", ""] {
        let before = refused();
        stage.discord.refuse(&[scope]);
        assert!(stage.ask(&operator, "status", &[]).contains("peers"), "{scope}");
        assert!(refused() > before, "{scope}");
    }
    assert!(stage.bot.process.stderr().contains("too much is asked of Discord: nothing is for 1 s"));
    stage.end();
}

#[test]
fn many_live_messages_in_a_channel_are_edited_no_more_often_than_may_be() {
    const MORE: [&str; 5] = ["a", "b", "c", "d", "e"];
    let stage = Stage::set(&Plan { config: "[limits]\ndownloads = 8\n", ..Plan::default() });
    let mut ids = vec![stage.id()];
    for name in MORE {
        let torrent = metafile::torrent(&Sample { name, layout: &[("", 1)] }, None);
        let path = stage.home.path().join(name);
        std::fs::write(&path, &torrent).unwrap();
        stage.allow(&path, name);
        ids.push(hex(&metafile::info_hash(&torrent).unwrap()));
    }
    for name in [&[NAME], &MORE[..]].concat() {
        assert!(stage.ask(&operator(), "download", &[("name", name)]).starts_with("Downloading"), "{name}");
    }
    // Each message has something new to tell, again and again.
    for order in ["pause", "resume"] {
        let before = stage.count();
        ids.iter().for_each(|id| drop(stage.daemon.done(&stage.home, &[order, id])));
        let all = stage.discord.wait(common::LIMIT, |seen| {
            let edits = seen.calls()[before..].iter().filter(|call| is_edit(call));
            let edited: std::collections::BTreeSet<_> = edits.map(message).collect();
            (edited.len() == ids.len()).then_some(())
        });
        assert!(all.is_some(), "not all were edited: {}", stage.bot.process.stderr());
    }
    // That no channel was edited too often is among the rules.
    stage.end();
}

#[test]
fn a_deleted_message_or_channel_ends_what_is_shown_and_no_download() {
    let stage = lonely(&Plan::default());
    let sent = stage.call(is_edit);
    stage.discord.delete(message(&sent));
    stage.daemon.done(&stage.home, &["pause", &stage.id()]);
    stage.call(|call| call.what == sent.what && call.status == 404);
    assert!(stage.ask(&operator(), "status", &[]).contains("paused"), "without its message it goes on");

    let again = stage.ask(&operator(), "download", &[("name", NAME)]);
    assert!(again.ends_with(" is here already, and is shown."), "{again}");
    let sent = stage.call(|call| is_edit(call) && call.what != sent.what);
    stage.discord.delete_channel(CHANNEL);
    stage.daemon.done(&stage.home, &["resume", &stage.id()]);
    stage.call(|call| call.what == sent.what && call.status == 404);
    assert!(stage.ask(&operator(), "status", &[]).contains("downloading"), "without its channel it goes on");
    let nowhere = stage.ask(&operator(), "download", &[("name", NAME)]);
    assert_eq!(nowhere, "I may not write in this channel.");
    let book = std::fs::read_to_string(stage.home.path().join("state/rawtorrent/discord.json")).unwrap();
    let book: Value = serde_json::from_str(&book).unwrap();
    assert_eq!(book["live"], serde_json::json!({}), "nothing is kept of what is gone");
    stage.end();
}

#[test]
fn a_long_run_goes_on_in_a_thread() {
    let stage = lonely(&Plan { bot: &["--thread-after", "1"], ..Plan::default() });
    let first = stage.call(is_edit);
    let thread = stage.call(|call| call.what.ends_with("/threads"));
    assert_eq!(thread.body["name"], NAME, "a name of a thread is no markdown");
    let moved = stage.call(|call| is_edit(call) && description(call).contains("goes on in the thread"));
    assert_eq!((&moved.what, &moved.body["components"]), (&first.what, &Value::Array(Vec::new())));
    stage.daemon.done(&stage.home, &["pause", &stage.id()]);
    let there = stage.call(|call| is_edit(call) && description(call).contains("**paused**"));
    let channel = |what: &str| what.split('/').nth(2).unwrap().parse::<u64>().unwrap();
    assert_ne!(channel(&there.what), CHANNEL);
    let threads = stage.discord.calls().iter().filter(|call| call.what.ends_with("/threads")).count();
    assert_eq!(threads, 1);

    // Archived, it is opened again.
    stage.discord.archive(channel(&there.what));
    let before = stage.count();
    stage.daemon.done(&stage.home, &["resume", &stage.id()]);
    stage.call_after(before, |call| is_edit(call) && description(call).contains("**downloading**"));
    let woken = format!("PATCH /channels/{}", channel(&there.what));
    stage.call_after(before, |call| call.what == woken && call.body["archived"] == false);
    stage.daemon.done(&stage.home, &["pause", &stage.id()]);

    // Who asks there is in the channel that the thread belongs to.
    let thread = rawtorrent_tests::discord::Place { channel: channel(&there.what), ..operator() };
    assert!(stage.ask(&thread, "status", &[]).contains("paused"));
    stage.discord.delete_channel(thread.channel);
    stage.daemon.done(&stage.home, &["resume", &stage.id()]);
    stage.call(|call| call.what == there.what && call.status == 404);
    stage.end();
}

#[test]
fn a_long_run_comes_to_its_thread_though_discord_stumbles() {
    let stage = Stage::set(&Plan { bot: &["--thread-after", "1"], ..Plan::default() });
    // The thread is there all the same, then without a message.
    stage.discord.break_at("/threads", 500);
    stage.discord.break_at("/messages", 500);
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    let first = stage.call(is_edit);
    let moved = stage.call(|call| is_edit(call) && description(call).contains("goes on in the thread"));
    assert_eq!(moved.what, first.what);
    stage.daemon.done(&stage.home, &["pause", &stage.id()]);
    let there = stage.call(|call| is_edit(call) && description(call).contains("**paused**"));
    assert!(there.what.starts_with(&format!("PATCH /channels/{}/", message(&first))), "{}", there.what);
    let calls = stage.discord.calls();
    let tried = |end: &str| {
        let tried = calls.iter().filter(|call| call.what.ends_with(end));
        tried.map(|call| call.status).collect::<Vec<_>>()
    };
    assert_eq!(tried("/threads"), [500, 400], "it is known once it is found to be there");
    assert_eq!(tried("/messages"), [200, 500, 200]);
    stage.end();
}

#[test]
fn what_its_owner_has_is_watched_and_no_more() {
    let stage = Stage::set(&Plan::default());
    let named = ("name", NAME);
    let missing = stage.ask(&operator(), "peers", &[named]);
    assert_eq!(missing, r"**\@everyone \*sample\*** is not under way; /download begins it.");
    stage.daemon.done(&stage.home, &["add", &stage.home.torrent.display().to_string()]);
    let shown = stage.ask(&operator(), "download", &[named]);
    assert!(shown.ends_with(" is here already, and is shown."), "{shown}");
    let shown = stage.call(|call| is_edit(call) && description(call).contains("**downloading**"));
    let buttons = shown.body["components"][0]["components"].as_array().unwrap();
    assert_eq!(buttons.iter().map(|button| &button["label"]).collect::<Vec<_>>(), ["Detail"]);
    let admin = somebody(7, &[101]);
    for files in ["stay", "remove"] {
        let refused = stage.ask(&admin, "stop", &[named, ("files", files)]);
        assert!(refused.contains("was not begun here: only who runs me"), "{refused}");
    }
    for button in ["pause", "resume", "stop"] {
        let token = stage.discord.press(&admin, &format!("{button}:{}", stage.id()));
        let refused = stage.answer(&token);
        assert!(refused.contains("was not begun here: only who runs me"), "{button}: {refused}");
    }
    let torrent = stage.daemon.get(&format!("/api/v1/torrents/{}", stage.id())).json();
    assert_eq!(torrent["state"], "downloading");
    stage.end();
}

#[test]
fn files_that_lay_there_before_and_torrents_that_their_owner_added_again_are_left_alone() {
    let stage = Stage::set(&Plan::default());
    let named = ("name", NAME);
    stage.home.sample.write(&stage.home.out()).unwrap();
    let whole = rawtorrent_tests::content::digest(&stage.home.out()).unwrap();
    // Once more, as what stayed then is still not of here.
    for _ in 0..2 {
        let before = stage.count();
        assert!(stage.ask(&operator(), "download", &[named]).starts_with("Downloading"));
        stage.call_after(before, |call| description(call).starts_with("Every byte is here"));
        let stopped = stage.ask(&operator(), "stop", &[named, ("files", "remove")]);
        assert!(stopped.contains("its files stay: what was there before"), "{stopped}");
        assert_eq!(rawtorrent_tests::content::digest(&stage.home.out()).unwrap(), whole);
    }
    assert!(stage.ask(&operator(), "download", &[named]).starts_with("Downloading"));
    // Nobody asks the bot between these.
    stage.daemon.done(&stage.home, &["remove", &stage.id()]);
    stage.daemon.done(&stage.home, &["add", &stage.home.torrent.display().to_string()]);
    for files in ["stay", "remove"] {
        let refused = stage.ask(&operator(), "stop", &[named, ("files", files)]);
        assert!(refused.contains("was not begun here: only who runs me"), "{refused}");
    }
    stage.end();
}

#[test]
fn a_daemon_may_go_and_come_back() {
    let mut stage = lonely(&Plan::default());
    let edit = stage.call(is_edit);
    stage.end_daemon();
    let away = stage.call(|call| is_edit(call) && description(call).contains("daemon does not answer"));
    assert_eq!(away.what, edit.what);
    let told = stage.ask(&operator(), "status", &[]);
    assert_eq!(told, "The daemon does not answer now; try again in a while.");
    stage.begin_daemon();
    let before = stage.count();
    let back =
        stage.call_after(before, |call| is_edit(call) && description(call).contains("peers, of which"));
    assert_eq!(back.what, edit.what);
    assert!(stage.ask(&operator(), "status", &[]).contains("peers"));
    stage.daemon.done(&stage.home, &["remove", &stage.id()]);
    stage.call(|call| is_edit(call) && description(call).contains("It was removed"));
    stage.end();
}

#[test]
fn files_that_stay_are_told_and_take_room() {
    let (seed_home, _seed, addr) = common::real_seed(Sample::MULTI);
    let config = "[limits]\ntorrent_bytes = 4000000\ndisk_bytes = 4000000\n";
    let mut stage = Stage::set(&Plan { config, ..Plan::default() });
    assert_eq!(stage.id(), hex(&seed_home.info_hash));
    let alone = ["--no-dht", "--no-lsd"];
    let (disk, out) = (stage.home.path().join("disk"), stage.home.out());
    for dir in [&disk, &out] {
        std::fs::create_dir_all(dir).unwrap();
    }
    let mount = format!("mount --bind '{}' '{}'", disk.display(), out.display());
    let read_only = format!("{mount} && mount -o remount,bind,ro '{}'", out.display());
    stage.end_daemon();
    stage.daemon =
        Daemon::start_mounted(&stage.home, &mount, &[&alone[..], &["--peer", &addr.to_string()]].concat());
    stage.ask(&operator(), "download", &[("name", NAME)]);
    stage.call(|call| description(call).starts_with("Every byte is here"));
    stage.end_daemon();
    stage.daemon = Daemon::start_mounted(&stage.home, &read_only, &alone);
    let stopped = stage.ask(&operator(), "stop", &[("name", NAME), ("files", "remove")]);
    assert!(
        stopped.contains("is stopped; ") && stopped.ends_with(" of its files stay, and take room."),
        "{stopped}"
    );
    // Nothing else has room beside them.
    let other = Sample { name: "other", layout: &[("", 3_500_000)] };
    let path = stage.home.path().join("other.torrent");
    std::fs::write(&path, metafile::torrent(&other, None)).unwrap();
    stage.allow(&path, "other");
    let refused = stage.ask(&operator(), "download", &[("name", "other")]);
    assert!(refused.starts_with("There is no room for it"), "{refused}");
    stage.end();
}

#[test]
fn a_daemon_that_hangs_keeps_nobody_waiting() {
    /// Interactions that the bot answers at a time (`discord::bot::MAX_INTERACTIONS`): far more than it has clients for that
    /// (`discord::bot::ANSWERERS`), each of which tells one at a time.
    const MOST: usize = 64;
    let stage = lonely(&Plan::default());
    stage.call(is_edit);
    stage.daemon.session.process.signal(Signal::STOP);
    let operator = operator();
    let ask = |name: &str, options: &[(&str, &str)]| stage.discord.command(&operator, name, options);
    let button = |what: &str| stage.discord.press(&operator, &format!("{what}:{}", stage.id()));
    // What needs no daemon is told though it hangs.
    for (token, told) in [
        (ask("torrents", &[]), "CC0"),
        (ask("help", &[]), "`/download`"),
        (ask("explain", &[("message", "have none")]), "(BEP 6)"),
        (ask("explain", &[("message", "*")]), "no such message"),
        (ask("download", &[("name", "another")]), "not on the list"),
        (ask("download", &[]), "'name' is missing"),
        (ask("format", &[]), "do not know that command"),
        (ask("allow", &[("name", "x"), ("licence", "y")]), "one of them"),
        (stage.discord.press(&operator, "pause:everything"), "none of mine"),
        (stage.discord.press(&operator, &"x".repeat(100)), "none of mine"),
        (stage.discord.press(&operator, &format!("pause:{}", "0".repeat(40))), "not on the list"),
    ] {
        let answer = stage.answer(&token);
        assert!(answer.contains(told), "{told}: {answer}");
    }
    let mut asked: Vec<String> = ["status", "peers", "pieces", "watch", "why", "stop"]
        .map(|name| ask(name, &[]))
        .into_iter()
        .chain(["pause", "resume", "stop", "detail"].map(button))
        .collect();
    asked.push(ask("download", &[("name", NAME)]));
    // Discord is told of each, in time, that an answer will come; what is too much is said to be.
    asked.extend((0..MOST).map(|_| ask("status", &[])));
    let heard = |seen: &rawtorrent_tests::discord::Seen<'_>| {
        let is_heard = |token: &String| seen.calls().iter().any(|call| call.what.contains(&**token));
        asked.iter().all(is_heard).then_some(())
    };
    assert!(stage.discord.wait(common::LIMIT, heard).is_some(), "{}", stage.bot.process.stderr());
    let too_much = "Too much is asked of me now; try again in a while.";
    let calls = stage.discord.calls();
    let turned_away = calls.iter().filter(|call| call.body["data"]["content"] == too_much).count();
    assert!((asked.len() - MOST..MOST).contains(&turned_away), "{turned_away} of {}", asked.len());
    stage.daemon.session.process.signal(Signal::CONT);
    let answers: Vec<String> = asked.iter().map(|token| stage.answer(token)).collect();
    assert!(!answers.iter().any(String::is_empty), "{answers:?}");
    stage.end();
}

#[test]
fn a_burst_is_answered_in_time_to_the_last() {
    /// More than are answered at a time, and as many again that are turned away.
    const BURST: usize = 300;
    let stage = lonely(&Plan::default());
    stage.daemon.session.process.signal(Signal::STOP);
    let asked: Vec<String> = (0..BURST).map(|_| stage.discord.command(&operator(), "status", &[])).collect();
    let heard = |seen: &rawtorrent_tests::discord::Seen<'_>| {
        let is_heard = |token: &String| seen.calls().iter().any(|call| call.what.contains(&**token));
        asked.iter().all(is_heard).then_some(())
    };
    let all = stage.discord.wait(common::LIMIT, heard);
    assert!(all.is_some(), "{} {:?}", stage.bot.process.stderr(), stage.discord.faults().len());
    assert_eq!(stage.discord.faults(), Vec::<String>::new(), "each in three seconds");
    stage.daemon.session.process.signal(Signal::CONT);
    // Until those are answered that wait, it is too much.
    let goes_on = || stage.ask(&operator(), "why", &[]).contains("1. **").then_some(());
    assert!(
        rawtorrent_tests::poll(std::time::Instant::now() + common::LIMIT, goes_on).is_some(),
        "it goes on"
    );
    stage.end();
}

#[test]
fn what_is_taken_off_the_list_ends_and_going_on_is_held_to_the_limits() {
    let stage = lonely(&Plan::default());
    let text = std::fs::read_to_string(&stage.config).unwrap();
    let state = || stage.daemon.get(&format!("/api/v1/torrents/{}", stage.id())).json()["state"].clone();
    let press =
        |what: &str| stage.answer(&stage.discord.press(&operator(), &format!("{what}:{}", stage.id())));
    assert!(press("pause").ends_with("rests."));
    std::fs::write(&stage.config, format!("{text}[limits]\ntorrent_bytes = 1000\n")).unwrap();
    let refused = press("resume");
    assert!(refused.ends_with("at most.") && state() != "downloading", "{refused} {}", state());
    std::fs::write(&stage.config, &text).unwrap();
    assert!(press("resume").ends_with("goes on."));
    let deadline = std::time::Instant::now() + common::LIMIT;
    let runs = rawtorrent_tests::poll(deadline, || (state() == "downloading").then_some(()));
    assert!(runs.is_some(), "{}", state());
    let detail = press("detail");
    assert!(detail.contains("pieces are here.\nThere are no connections."), "{detail}");

    std::fs::write(&stage.config, text.split("[[torrent]]").next().unwrap()).unwrap();
    let closed =
        stage.call(|call| is_edit(call) && description(call).contains("not on the allow-list any more"));
    assert!(description(&closed).ends_with("and is stopped; its files stay."), "{}", description(&closed));
    assert_eq!(stage.daemon.get(&format!("/api/v1/torrents/{}", stage.id())).status, 404);
    stage.end();
}

#[test]
fn what_is_removed_and_begun_again_has_one_message() {
    let stage = lonely(&Plan::default());
    let first = stage.call(is_edit);
    stage.daemon.done(&stage.home, &["remove", &stage.id()]);
    assert!(stage.ask(&operator(), "download", &[("name", NAME)]).starts_with("Downloading"));
    let closed = stage.call(|call| call.what == first.what && description(call).contains("It was removed"));
    assert_eq!(closed.body["components"], Value::Array(Vec::new()));
    stage.call(|call| {
        is_edit(call) && call.what != first.what && description(call).contains("peers, of which")
    });
    let before = stage.count();
    stage.daemon.done(&stage.home, &["pause", &stage.id()]);
    stage.call_after(before, |call| is_edit(call) && description(call).contains("**paused**"));
    let of_old = stage.discord.calls()[before..].iter().filter(|call| call.what == first.what).count();
    assert_eq!(of_old, 0, "two tell of one torrent");
    stage.end();
}

#[test]
fn a_server_that_it_comes_to_later_has_its_commands() {
    let stage = Stage::set(&Plan::default());
    let text = std::fs::read_to_string(&stage.config).unwrap();
    std::fs::write(&stage.config, text.replace("guilds = [1]", "guilds = [1, 2]")).unwrap();
    let before = stage.count();
    [1, 3, 2].iter().for_each(|&guild| stage.discord.join(guild));
    let told = stage.call_after(before, |call| call.what.starts_with("PUT "));
    assert!(told.what.ends_with("/guilds/2/commands"), "{}", told.what);
    stage.end();
}

#[test]
fn a_token_that_discord_refuses_is_not_told() {
    let stage = lonely(&Plan::default());
    let wrong = TOKEN.replace("NotASecret", "AnotherOne");
    let mut command = stage.home.command();
    command.args(["-v", "discord", "--config"]).arg(&stage.config).env("DISCORD_TOKEN", &wrong);
    command.env("RAWTORRENT_DISCORD_REST", stage.discord.rest.to_string());
    command.env("RAWTORRENT_DISCORD_GATEWAY", format!("ws://{}", stage.discord.gateway));
    let refused = common::run(&mut command);
    common::assert_fails(&refused, &["discord refuses the token"]);
    assert!(!format!("{}{}", refused.stdout, refused.stderr).contains(&wrong));
    stage.end();
}
