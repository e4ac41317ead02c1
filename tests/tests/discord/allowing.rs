//! What an admin adds to the allow-list from the chat, and what nobody does.

use rawtorrent_tests::content::{Sample, hex};
use rawtorrent_tests::discord::Place;
use rawtorrent_tests::metafile;

use crate::common;
use crate::stage::{NAME, Plan, Stage, description, is_edit, operator, somebody};

/// Bytes of a torrent file that the bot takes.
const MAX_TORRENT: usize = 16 << 20;
const OTHER: Sample = Sample { name: "other", layout: &[("", 300_000)] };

#[test]
fn an_admin_adds_what_is_attached_and_nobody_else_does() {
    let mut stage = Stage::set(&Plan { config: "[limits]\ntorrent_bytes = 4000000\n", ..Plan::default() });
    let admin = somebody(8, &[101]);
    let torrent = metafile::torrent(&OTHER, None);
    let id = hex(&metafile::info_hash(&torrent).unwrap());
    let url = stage.discord.attach("x.torrent", &torrent);
    let size = torrent.len() as u64;
    let named = [("name", "Other *one*"), ("licence", "CC0 1.0")];
    let ask = |stage: &Stage, place: &Place, options: &[(&str, &str)], file: (&str, u64)| {
        stage.answer(&stage.discord.command_with(place, "allow", options, file))
    };
    let before = std::fs::read_to_string(&stage.config).unwrap();

    for place in [operator(), somebody(5, &[])] {
        let refused = ask(&stage, &place, &named, (&url, size));
        assert_eq!(refused, "That needs the role admin, which you do not have here.");
        let refused = stage.ask(&place, "allow", &[named[0], named[1], ("link", &id)]);
        assert_eq!(refused, "That needs the role admin, which you do not have here.");
    }
    for (file, bytes, told) in [
        ("http://127.0.0.1:9/attachments/1/2/x", size, "no attachment of Discord's"),
        ("https://cdn.discordapp.com.example/attachments/1/2/x", size, "no attachment of Discord's"),
        (&url.replace("/attachments/", "/api/"), size, "no attachment of Discord's"),
        (&url, MAX_TORRENT as u64 + 1, "too large"),
        (&stage.discord.attach("long", &vec![0; MAX_TORRENT + 1]), size, "too large"),
        (&stage.discord.attach("away", url.as_bytes()), size, "can't be fetched"),
        (&url.replace("x.torrent", "none"), size, "can't be fetched"),
        (&stage.discord.attach("no.torrent", b"d4:infode"), size, "no torrent file"),
        (&stage.discord.attach("big", &metafile::torrent(&Sample::SINGLE, None)), size, "at most"),
    ] {
        let refused = ask(&stage, &admin, &named, (file, bytes));
        assert!(refused.contains(told), "{file}: {refused}");
    }
    let both = [named[0], named[1], ("link", &*id)];
    assert!(ask(&stage, &admin, &both, (&url, size)).contains("one of them"));
    let again = [("name", NAME), named[1]];
    assert!(ask(&stage, &admin, &again, (&url, size)).contains("two torrents are called"));
    assert_eq!(std::fs::read_to_string(&stage.config).unwrap(), before, "what is refused changes nothing");
    let torrents = stage.home.path().join("torrents");
    assert!(std::fs::read_dir(&torrents).map_or(0, Iterator::count) == 0, "and leaves nothing");

    let told = ask(&stage, &admin, &named, (&url, size));
    assert_eq!(told, format!(r"May be downloaded from now on: Other \*one\*, 293\.0 KiB, CC0 1\.0 · {id}"));
    assert_eq!(std::fs::read(torrents.join(format!("{id}.torrent"))).unwrap(), torrent);
    assert!(std::fs::read_to_string(&stage.config).unwrap().starts_with(&before));
    stage.end_bot();
    stage.begin_bot();
    assert!(stage.ask(&operator(), "torrents", &[]).contains(r"Other \*one\*"), "for good");
    let begun = stage.ask(&operator(), "download", &[named[0]]);
    assert_eq!(begun, r"Downloading **Other \*one\***, 293.0 KiB.");
    assert_eq!(stage.daemon.get(&format!("/api/v1/torrents/{id}")).status, 200);
    stage.end();
}

#[test]
fn an_admin_adds_a_link_of_which_the_hash_counts_and_its_size_is_seen_later() {
    let (seed_home, _seed, addr) = common::real_seed(Sample::SINGLE);
    let id = hex(&seed_home.info_hash);
    let daemon = ["--peer", &addr.to_string()];
    let config = "[limits]\ntorrent_bytes = 4000000\n";
    let stage = Stage::set(&Plan { daemon: &daemon, config, ..Plan::default() });
    let admin = somebody(8, &[101]);
    let link = format!("magnet:?xt=urn:btih:{id}&tr=http%3A%2F%2F127.0.0.1%2Fpass");
    let named = [("name", "by link"), ("licence", "CC0 1.0")];
    let wrong = stage.ask(&admin, "allow", &[named[0], named[1], ("link", "http://127.0.0.1/x.torrent")]);
    assert!(wrong.starts_with("That is no link"), "{wrong}");
    let told = stage.ask(&admin, "allow", &[named[0], named[1], ("link", &link)]);
    assert_eq!(told, format!(r"May be downloaded from now on: by link, size not known, CC0 1\.0 · {id}"));
    let text = std::fs::read_to_string(&stage.config).unwrap();
    assert!(!text.contains("pass"), "no tracker of a stranger's: {text}");

    let begun = stage.ask(&operator(), "download", &[named[0]]);
    assert_eq!(begun, "Downloading **by link**, size not known yet.");
    let closed = stage.call(|call| is_edit(call) && description(call).contains("That torrent has"));
    assert!(description(&closed).contains("at most"), "{}", description(&closed));
    assert_eq!(stage.daemon.get(&format!("/api/v1/torrents/{id}")).status, 404, "it is too large, and goes");
    assert!(!stage.home.out().join(Sample::SINGLE.name).exists());

    // What the owner has by now is left alone.
    assert_eq!(stage.daemon.add(&seed_home.torrent, "").status, 201);
    let has_it = || {
        let torrent = stage.daemon.get(&format!("/api/v1/torrents/{id}"));
        (torrent.status == 200 && torrent.json()["state"] == "seeding").then_some(())
    };
    rawtorrent_tests::poll(std::time::Instant::now() + common::LIMIT, has_it).expect("the owner gets it");
    stage.ask(&operator(), "download", &[named[0]]);
    stage.call(|call| description(call).starts_with("Every byte is here"));
    let refused = stage.ask(&operator(), "stop", &[named[0]]);
    assert!(refused.contains("was not begun here"), "{refused}");
    assert!(has_it().is_some() && stage.home.out().join(Sample::SINGLE.name).exists());
    assert_eq!(stage.daemon.ask("DELETE", &format!("/api/v1/torrents/{id}?data=true"), "", b"").status, 204);

    // With room for it, it arrives.
    std::fs::write(&stage.config, text.replace("torrent_bytes = 4000000", "torrent_bytes = 6000000"))
        .unwrap();
    let before = stage.count();
    stage.ask(&operator(), "download", &[named[0]]);
    let summary = stage.call_after(before, |call| description(call).starts_with("Every byte is here"));
    assert!(description(&summary).contains("5.0 MiB"), "{}", description(&summary));

    // Stopped by who began it, it takes room as long as its files stay.
    let stopped = stage.ask(&operator(), "stop", &[named[0]]);
    assert!(stopped.ends_with("is stopped; its files stay, and take room."), "{stopped}");
    let other = Sample { name: "other", layout: &[("", 1_000_000)] };
    let path = stage.home.path().join("other.torrent");
    std::fs::write(&path, metafile::torrent(&other, None)).unwrap();
    stage.allow(&path, "other");
    let text = std::fs::read_to_string(&stage.config).unwrap();
    let limits = "torrent_bytes = 6000000\ndisk_bytes = 6000000";
    std::fs::write(&stage.config, text.replace("torrent_bytes = 6000000", limits)).unwrap();
    let refused = stage.ask(&operator(), "download", &[("name", "other")]);
    assert!(refused.starts_with("There is no room for it: 5.0 MiB"), "{refused}");
    let before = stage.count();
    let again = stage.ask(&operator(), "download", &[named[0]]);
    assert!(again.starts_with("Downloading"), "it is there already: {again}");
    stage.call_after(before, |call| description(call).starts_with("Every byte is here"));
    let gone = stage.ask(&operator(), "stop", &[named[0], ("files", "remove")]);
    assert!(gone.ends_with("is stopped; its files are gone."), "{gone}");
    assert!(!stage.home.out().join(Sample::SINGLE.name).exists());
    let begun = stage.ask(&operator(), "download", &[("name", "other")]);
    assert!(begun.starts_with("Downloading"), "{begun}");
    stage.end();
}

#[test]
fn what_the_bot_would_refuse_is_not_allowed() {
    let stage = Stage::set(&Plan { config: "[limits]\ntorrent_bytes = 4000000\n", ..Plan::default() });
    let before = std::fs::read_to_string(&stage.config).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = stage.home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let torrent = metafile::torrent(&OTHER, None);
    let comment = format!("d7:comment{MAX_TORRENT}:");
    let long = [comment.as_bytes(), &vec![b'x'; MAX_TORRENT], &torrent[1..]].concat();
    for (torrent, words) in [
        (file("large", &metafile::torrent(&Sample::SINGLE, None)), &["has 5.0 mib", "3.8 mib at most"][..]),
        (file("long", &long), &["torrent files of 16.0 mib at most"]),
        (stage.home.torrent.clone(), &["is there already, as '@everyone *sample*'"]),
    ] {
        let mut allow = stage.home.command();
        allow.args(["discord", "allow", "--name", "new", "--licence", "CC0 1.0", "--config"]);
        common::assert_fails(&common::run(allow.arg(&stage.config).arg(&torrent)), words);
    }
    assert_eq!(std::fs::read_to_string(&stage.config).unwrap(), before);
    stage.end();
}
