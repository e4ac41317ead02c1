//! `discord`: what the bot may offer.

use crate::support::{Place, noise};
use std::fs;

#[test]
fn a_torrent_is_allowed() {
    let place = Place::new();
    place.write("film.ogv", noise(40_000));
    place.run(&["create", "film.ogv", "--piece-length", "16KiB"]).done();
    place.write("bot.toml", "guilds = [1] # home\n");
    let allow =
        ["discord", "allow", "film.ogv.torrent", "--config", "bot.toml", "--licence", "CC0", "--name"];
    let allow = |name| place.run(&[&allow[..], &[name]].concat());
    let ran = allow("A film").done();
    let id = place.show("film.ogv.torrent")["info_hash_v1"].as_str().unwrap().to_owned();
    assert_eq!(ran.text(), format!("{id} may be downloaded: A film, 39.1 KiB, CC0\n"));
    let text = fs::read_to_string(place.path("bot.toml")).unwrap();
    let path = place.path("film.ogv.torrent");
    assert!(text.starts_with("guilds = [1] # home\n") && text.contains(path.to_str().unwrap()), "{text}");

    allow("Another film").failed(&["is there already, as"]);
    assert_eq!(fs::read_to_string(place.path("bot.toml")).unwrap(), text);
    place.write("bot.toml", "guild = [1]\n");
    allow("A film").failed(&["bot.toml: line 1: unknown field `guild`"]);
}
