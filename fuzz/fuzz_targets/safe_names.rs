//! Any bytes as a name: what comes out stays where it is put, and comes out of a second pass unchanged.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use metainfo::names::{self, Rules, repair_utf8, safe_element};

fuzz_target!(|data: &[u8]| {
    let text = repair_utf8(data);
    if let Ok(valid) = std::str::from_utf8(data) {
        assert_eq!(text, valid, "text is left alone");
    }
    for rules in [Rules::Posix, Rules::Windows] {
        let Some(name) = safe_element(data, rules) else { continue };
        assert!(!matches!(name.as_str(), "" | "." | ".."));
        assert!(!name.contains(['/', '\\', '\u{202e}']) && !name.chars().any(char::is_control));
        assert!(name.len() <= names::MAX_ELEMENT_LEN + names::MAX_EXTENSION_LEN);
        if rules == Rules::Windows {
            assert!(!name.ends_with(['.', ' ']) && !name.contains(['<', '>', ':', '"', '|', '?', '*']));
        }
        plant(|| {
            rules == Rules::Windows && name != text && name.chars().count() > 3 && name.starts_with("CON")
        });
        assert_eq!(safe_element(name.as_bytes(), rules), Some(name));
    }
});
