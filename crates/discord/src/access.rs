//! Who may ask for what, and where.

use crate::config::{Config, Entry};
use api::units::Size;
use thiserror::Error;

/// What somebody may do. Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look.
    Reader,
    /// Begin, pause and go on.
    Operator,
    /// Stop what others began.
    Admin,
}

/// Where somebody asks, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The guild; `None` in private messages.
    pub guild: Option<u64>,
    /// The channel or thread.
    pub channel: u64,
    /// Of a thread, the channel that it belongs to.
    pub parent: Option<u64>,
    /// The ids of the asker's roles.
    pub roles: Vec<u64>,
}

/// Why something is not done, as it is told to who asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// Another guild, or a private message.
    #[error("I answer on the servers that my configuration names only.")]
    Guild,
    /// Another channel.
    #[error("I answer in the channels that my configuration names only.")]
    Channel,
    /// The asker has no role for it.
    #[error("That needs the role {0}, which you do not have here.")]
    Role(&'static str),
    /// The torrent is too large.
    #[error("That torrent has {0}; I may download torrents of {1} at most.")]
    Large(Size, Size),
    /// As many downloads as may be are under way.
    #[error("{0} downloads are under way, and more at a time are not allowed. /stop one, or wait.")]
    Busy(usize),
    /// It does not fit.
    #[error("There is no room for it: {0} of {1} are taken. /stop something that is done.")]
    Full(Size, Size),
}

impl Role {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl Config {
    /// The role that somebody has there, if it is enough.
    ///
    /// # Errors
    /// [`Refused::Guild`], [`Refused::Channel`], [`Refused::Role`].
    pub fn admit(&self, place: &Place, needs: Role) -> Result<Role, Refused> {
        if !place.guild.is_some_and(|guild| self.guilds.contains(&guild)) {
            return Err(Refused::Guild);
        }
        let is_ours = |channel: u64| self.channels.contains(&channel);
        if !self.channels.is_empty() && !is_ours(place.channel) && !place.parent.is_some_and(is_ours) {
            return Err(Refused::Channel);
        }
        let has = |ids: &std::collections::BTreeSet<u64>| place.roles.iter().any(|role| ids.contains(role));
        let role = match &self.roles {
            roles if has(&roles.admin) => Some(Role::Admin),
            roles if has(&roles.operator) => Some(Role::Operator),
            roles if roles.reader.is_empty() || has(&roles.reader) => Some(Role::Reader),
            _ => None,
        };
        role.filter(|&role| role >= needs).ok_or(Refused::Role(needs.name()))
    }

    /// Whether a torrent is small enough, as far as is known.
    ///
    /// # Errors
    /// [`Refused::Large`].
    pub fn fits(&self, entry: &Entry) -> Result<(), Refused> {
        match entry.size {
            Some(size) if size > self.limits.torrent_bytes => {
                Err(Refused::Large(Size(size), Size(self.limits.torrent_bytes)))
            }
            _ => Ok(()),
        }
    }

    /// Whether there is room for one more torrent, beside `downloads` that are under way and `taken` bytes of torrents of the
    /// allow-list that the daemon has.
    ///
    /// # Errors
    /// [`Refused::Large`], [`Refused::Busy`], [`Refused::Full`].
    pub fn room(&self, entry: &Entry, downloads: usize, taken: u64) -> Result<(), Refused> {
        self.fits(entry)?;
        let limits = &self.limits;
        if downloads >= limits.downloads {
            return Err(Refused::Busy(downloads));
        }
        // One whose size is not known may be as large as any.
        if taken.saturating_add(entry.size.unwrap_or(limits.torrent_bytes)) > limits.disk_bytes {
            return Err(Refused::Full(Size(taken), Size(limits.disk_bytes)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const CONFIG: &str = "
guilds = [1, 2]
channels = [10]
[roles]
reader = [100]
operator = [101]
admin = [102]
[limits]
downloads = 2
torrent_bytes = 50
disk_bytes = 100
";

    fn place(guild: Option<u64>, channel: u64, parent: Option<u64>, roles: &[u64]) -> Place {
        Place { guild, channel, parent, roles: roles.to_vec() }
    }

    #[test]
    fn only_who_may_is_admitted() {
        let config = Config::parse(CONFIG).unwrap();
        let role = |place: &Place, needs| config.admit(place, needs);
        let here = |roles: &[u64]| place(Some(1), 10, None, roles);
        assert_eq!(role(&place(None, 10, None, &[102]), Role::Reader), Err(Refused::Guild));
        assert_eq!(role(&place(Some(3), 10, None, &[102]), Role::Reader), Err(Refused::Guild));
        assert_eq!(role(&place(Some(1), 11, None, &[102]), Role::Reader), Err(Refused::Channel));
        assert_eq!(role(&place(Some(2), 11, Some(10), &[102]), Role::Admin), Ok(Role::Admin), "a thread");
        assert_eq!(role(&here(&[]), Role::Reader), Err(Refused::Role("reader")));
        assert_eq!(role(&here(&[7, 100]), Role::Reader), Ok(Role::Reader));
        assert_eq!(role(&here(&[100]), Role::Operator), Err(Refused::Role("operator")));
        assert_eq!(role(&here(&[101]), Role::Operator), Ok(Role::Operator));
        assert_eq!(role(&here(&[101]), Role::Reader), Ok(Role::Operator), "who may do more may look");
        assert_eq!(role(&here(&[101]), Role::Admin), Err(Refused::Role("admin")));
        assert_eq!(role(&here(&[100, 102]), Role::Admin), Ok(Role::Admin));
    }

    #[test]
    fn without_roles_everybody_looks_and_nobody_does() {
        let config = Config::parse("guilds = [1]").unwrap();
        let anybody = place(Some(1), 77, None, &[]);
        assert_eq!(config.admit(&anybody, Role::Reader), Ok(Role::Reader));
        assert_eq!(config.admit(&anybody, Role::Operator), Err(Refused::Role("operator")));
    }

    #[test]
    fn there_is_room_for_so_much() {
        let config = Config::parse(CONFIG).unwrap();
        let sized = |size| Entry {
            info_hash: String::new(),
            name: String::new(),
            licence: String::new(),
            size,
            path: None,
        };
        let entry = |size| sized(Some(size));
        assert_eq!(config.room(&entry(50), 1, 50), Ok(()));
        assert_eq!(config.room(&entry(51), 0, 0), Err(Refused::Large(Size(51), Size(50))));
        assert_eq!(config.room(&entry(1), 2, 0), Err(Refused::Busy(2)));
        assert_eq!(config.room(&entry(50), 1, 51), Err(Refused::Full(Size(51), Size(100))));
        assert!(config.room(&entry(1), 0, u64::MAX).is_err());
        assert_eq!(config.room(&sized(None), 0, 50), Ok(()));
        assert_eq!(config.room(&sized(None), 0, 51), Err(Refused::Full(Size(51), Size(100))));
    }
}
