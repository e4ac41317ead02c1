//! Hosts that the user wants nothing to do with, in any torrent.

use super::{Running, Session};
use crate::Error;
use bencode::{Value, encode_dict};
use std::collections::BTreeSet;
use std::net::IpAddr;
use store::{Change, Table};

/// The row's name.
const KEY: &[u8] = b"bans";

/// Hosts that the user bans. One more is refused.
const MAX_BANS_BY_HAND: usize = 4096;

impl Session {
    /// Bans a host: an address over IPv4, of IPv6 all of its /64. It is hung up on, neither dialed nor heard any more, also
    /// after a restart. Durable when this returns; the hosts that are banned now are returned.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Unsaved`].
    pub async fn ban(&self, addr: IpAddr) -> Result<Vec<IpAddr>, Error> {
        self.edit_bans(move |hosts| {
            hosts.insert(swarm::host(addr).0);
        })
        .await
    }

    /// Takes a [ban](Session::ban) back. One that there is not is no error.
    ///
    /// # Errors
    /// [`Error::Unsaved`].
    pub async fn unban(&self, addr: IpAddr) -> Result<Vec<IpAddr>, Error> {
        self.edit_bans(move |hosts| {
            hosts.remove(&swarm::host(addr).0);
        })
        .await
    }

    /// The hosts that are banned by hand; of IPv6, the first address of each /64.
    pub fn bans(&self) -> Vec<IpAddr> {
        self.room.shared.bans.all().into_iter().collect()
    }

    async fn edit_bans(
        &self,
        change: impl FnOnce(&mut BTreeSet<IpAddr>) + Send + 'static,
    ) -> Result<Vec<IpAddr>, Error> {
        let room = self.room.clone();
        let work = async move {
            let _held = room.bans.lock().await;
            let before = room.shared.bans.all();
            let mut hosts = before.clone();
            change(&mut hosts);
            if hosts.len() > MAX_BANS_BY_HAND {
                return Err(Error::Refused(format!(
                    "{MAX_BANS_BY_HAND} hosts are banned at most; unban one"
                )));
            }
            if hosts != before {
                room.save(vec![Change::put(Table::Session, KEY, encode(&hosts))]).await?;
                room.shared.bans.set(hosts.clone());
                let places: Vec<_> = room.torrents().values().cloned().collect();
                for place in places {
                    if let Some(Running::Yes(torrent)) =
                        place.lock().await.kept.as_ref().map(|kept| &kept.running)
                    {
                        torrent.wishes.send_modify(|wishes| wishes.bans += 1);
                    }
                }
            }
            Ok(hosts.into_iter().collect())
        };
        self.engine.on_runtime(work).await
    }
}

fn encode(hosts: &BTreeSet<IpAddr>) -> Vec<u8> {
    encode_dict(|d| d.list("hosts", |list| hosts.iter().for_each(|host| list.bytes(host.to_string()))))
}

/// Those that cannot be read are passed over.
pub(super) fn kept_in(rows: &[(Vec<u8>, Vec<u8>)]) -> BTreeSet<IpAddr> {
    let decode = |row: &[u8]| {
        let document = bencode::decode(row).ok()?;
        let hosts = document.root().get("hosts").and_then(Value::as_list)?;
        Some(hosts.filter_map(|host| host.as_str()?.parse().ok()).take(MAX_BANS_BY_HAND).collect())
    };
    rows.iter().find(|(key, _)| key == KEY).and_then(|(_, row)| decode(row)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn bans_are_read_as_they_were_written() {
        let hosts: BTreeSet<IpAddr> =
            ["192.0.2.1", "2001:db8::"].iter().map(|ip| ip.parse().unwrap()).collect();
        assert_eq!(kept_in(&[(KEY.to_vec(), encode(&hosts))]), hosts);
        assert!(kept_in(&[(KEY.to_vec(), b"d5:hostsl1:xi3eee".to_vec())]).is_empty());
        assert!(kept_in(&[(KEY.to_vec(), b"x".to_vec())]).is_empty());
    }

    #[tokio::test]
    async fn so_many_hosts_are_banned_and_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { listen: vec!["127.0.0.1:0".parse().unwrap()], ..Settings::new(dir.path()) };
        let (session, _) = Session::open(settings).await.unwrap();
        let many = |hosts: &mut BTreeSet<IpAddr>| {
            hosts
                .extend((0u32..).take(MAX_BANS_BY_HAND).map(|n| IpAddr::from((n + (1 << 24)).to_be_bytes())));
        };
        session.edit_bans(many).await.unwrap();
        let one_more = session.ban("192.0.2.1".parse().unwrap()).await;
        assert!(matches!(one_more, Err(Error::Refused(_))), "{one_more:?}");
        assert_eq!(session.unban("1.0.0.1".parse().unwrap()).await.unwrap().len(), MAX_BANS_BY_HAND - 1);
        let listed = session.ban("2001:db8::1:2:3:4".parse().unwrap()).await.unwrap();
        assert_eq!(listed.last(), Some(&"2001:db8::".parse().unwrap()));
        session.shutdown().await;
    }
}
