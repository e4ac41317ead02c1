//! The hooks in a configuration. No flag, no variable and no request can set them.

use daemon::Hooks;

/// # Errors
/// They make no sense; one line.
pub(crate) fn hooks(text: &str) -> Result<Hooks, String> {
    let wrong = |error: toml::de::Error| error.message().lines().next().unwrap_or_default().to_owned();
    let mut table: toml::Table = text.parse().map_err(wrong)?;
    table.retain(|name, _| super::file::TABLES.contains(&name));
    let of_hooks = |error: toml::de::Error| format!("hooks: {}", error.to_string().trim().replace('\n', " "));
    let hooks: Hooks = table.try_into().map_err(of_hooks)?;
    hooks.check().map(|()| hooks)
}

/// For those who have none yet.
pub(super) const TEMPLATE: &str = r#"
# Programs that are run when something happens to a torrent: added, finished, removed, error (it cannot go on), moved.
# 'command' is a program and its arguments; no shell sees it. An argument that is {event}, {id}, {name}, {path} or {reason} is
# replaced as a whole; the environment has RAWTORRENT_EVENT, _ID, _NAME, _PATH and _REASON. Names are strangers' words: one may
# begin with a '-'. What runs longer than 'timeout' seconds (60) is killed. A change holds after a SIGHUP.
#[[hook]]
#on = ["finished"]
#command = ["/usr/local/bin/sort-it", "{path}", "{name}"]
#timeout = 60

# Web servers that get the same as JSON. The header x-rawtorrent-signature is 'sha256=' and the HMAC, with the key in 'key_file',
# of what x-rawtorrent-timestamp says, a dot and the body. Without 'allow_private' the URL leads to the public internet only.
#[[webhook]]
#on = ["finished", "error"]
#url = "https://example.org/torrents"
#key_file = "/etc/rawtorrent/webhook.key"
#allow_private = false
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_read_and_what_makes_no_sense_is_told_on_one_line() {
        let good = "max_up = '1M'\n[[hook]]\non = ['added']\ncommand = ['/bin/x', '{name}']";
        assert_eq!(hooks(good).unwrap().hook[0].command, ["/bin/x", "{name}"]);
        assert_eq!(hooks("max_up = '1M'").unwrap(), Hooks::default());
        let uncommented: String = TEMPLATE
            .lines()
            .filter(|line| !line.starts_with("# "))
            .map(|line| format!("{}\n", line.trim_start_matches('#')))
            .collect();
        assert_eq!(
            (hooks(&uncommented).unwrap().hook.len(), hooks(&uncommented).unwrap().webhook.len()),
            (1, 1)
        );
        for (bad, part) in [
            ("hook = 'sh'", "hooks"),
            ("[hook]", "hooks"),
            ("[[hook]]\ncommand = ['/bin/x']", "on"),
            ("[[hook]]\non = ['added']\ncommand = 'rm -rf /'", "command"),
            ("[[hook]]\non = ['added']\ncommand = ['x']", "from the root on"),
            ("[[hook]]\non = ['added']\ncommand = ['/bin/x', 'x{name}']", "of its own"),
            ("[[hook]]\non = ['added']\ncommand = ['/bin/x']\nshell = true", "shell"),
            ("[[hook]]\non = ['sneezed']\ncommand = ['/bin/x']", "sneezed"),
            ("[[hook]]\non = ['added']\ncommand = ['/bin/x']\n'a\\nb' = 1", "unknown"),
            ("[[webhook]]\non = ['added']\nurl = 'file:///x'\nkey_file = '/k'", "http"),
            ("[[webhook]]\non = ['added']\nurl = 'https://x'", "key_file"),
        ] {
            let said = hooks(bad).unwrap_err();
            assert!(said.contains(part) && !said.contains('\n'), "{bad}: {said}");
        }
    }
}
