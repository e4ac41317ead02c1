//! Any text as a configuration: keys that are known, values that are plain, errors that fit on a line.
#![no_main]

#[path = "../../crates/cli/src/args/config/file.rs"]
mod file;

use common::plant;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let known = ["max_down", "max_up", "root", "api", "no_dht"].map(str::to_owned);
    match file::parse(text, &known) {
        Ok(config) => {
            assert!(config.keys().all(|key| known.contains(key)));
            plant(|| config.get("max_up").is_some_and(|up| up.first().is_some_and(|up| up != "7")));
        }
        Err(error) => assert!(!error.contains('\n'), "{error}"),
    }
});
