//! A live message: a torrent as it arrives, until it is here, or gone.

use crate::book::Spot;
use crate::bot::Bot;
use crate::commands::Watch;
use crate::config::{Config, Entry};
use crate::orders::Files;
use crate::said::Said;
use crate::say::{Fate, Message};
use crate::show::{self, Live, Summary};
use crate::{inert, picture};
use api::units::{Size, hex};
use api::{Client, ClientError, SILENCE, State, Torrent};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// Rates that are kept for the graph. When there are more, each two become one.
pub(crate) const MAX_RATES: usize = 960;
/// Files whose digests are told. Of further ones only how many there are.
pub(crate) const MAX_DIGESTS: usize = 5;
/// Bytes of files that are read for their digests. What is beyond is not told.
pub(crate) const MAX_DIGESTED: u64 = 16 << 30;

/// Of a download that was just asked for.
pub(crate) struct Fresh {
    /// Listens already.
    pub(crate) said: Said,
    /// Whether the daemon did not have it.
    pub(crate) is_new: bool,
    /// When it was begun.
    pub(crate) since: Instant,
}

/// What is known between two looks.
struct Watched {
    bot: Arc<Bot>,
    id: String,
    spot: Spot,
    said: Said,
    rates: Vec<u64>,
    fastest: u64,
    began: Instant,
    /// It was begun here: all that was said of it was heard.
    is_new: bool,
    before: Before,
    /// It was seen when it was not complete.
    was_partial: bool,
    /// How often its summary was sent.
    summaries: u8,
    shown: Option<(twilight_model::channel::message::Embed, Vec<crate::commands::Button>)>,
    /// A thread below the message, in which there is no message yet.
    thread: Option<u64>,
    /// As they were looked at last.
    pieces: Option<api::Pieces>,
    /// Somebody deleted the message, or its channel.
    is_gone: bool,
}

/// Keeps the message up to date until there is nothing more to tell.
pub(crate) async fn run(
    bot: Arc<Bot>,
    id: String,
    spot: Spot,
    watched: watch::Receiver<Watch>,
    fresh: Option<Fresh>,
) {
    let is_new = fresh.as_ref().is_some_and(|fresh| fresh.is_new);
    let began = fresh.as_ref().map_or_else(Instant::now, |fresh| fresh.since);
    let said = fresh.map_or_else(|| bot.ears.listen(&id), |fresh| fresh.said);
    let mut ticks = interval(bot.options.edit_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut live = Watched {
        id: id.clone(),
        spot,
        said,
        rates: Vec::new(),
        fastest: 0,
        began,
        is_new,
        before: Before { downloaded: is_new.then_some(0), there: 0 },
        was_partial: is_new,
        summaries: 0,
        shown: None,
        thread: None,
        pieces: None,
        is_gone: false,
        bot: bot.clone(),
    };
    loop {
        ticks.tick().await;
        // Another message shows the torrent from now on.
        if watched.has_changed().is_err() {
            live.close_replaced().await;
            return;
        }
        let watch = *watched.borrow();
        if live.look(watch).await.is_break() {
            // Unless another message took its place.
            if bot.spot(&id).is_some_and(|spot| spot.message == live.spot.message) {
                bot.forget(&id);
            }
            return;
        }
    }
}

/// What a live message says while nothing is heard.
const UNHEARD: &str =
    "What is said is not heard now: the daemon is away, or has no room for one more listener.";

type Flow = std::ops::ControlFlow<()>;

/// What of a torrent came before it was looked at.
#[derive(Debug)]
struct Before {
    /// Payload bytes that were received then, once that is known.
    downloaded: Option<u64>,
    /// Verified bytes that did not come while it was looked at, as far as is seen.
    there: u64,
}

impl Before {
    /// What is verified and was not received since was there: found on disk, perhaps only now that it is checked.
    fn see(&mut self, torrent: &Torrent) {
        if let (Some(done), Some(downloaded)) = (torrent.done, torrent.downloaded) {
            let before = *self.downloaded.get_or_insert(downloaded);
            self.there = self.there.max(done.saturating_sub(downloaded.saturating_sub(before)));
        }
    }
}

/// Seconds since 1970.
pub(crate) fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// For how long a message is shown: since it was asked for if that is known, else since it is looked at.
fn shown_for(spot: Spot, now: u64, looked: Duration) -> Duration {
    match spot.since {
        0 => looked,
        since => looked.max(Duration::from_secs(now.saturating_sub(since))),
    }
}

/// How often a summary, or the last edit of a message, is sent that Discord does not take; then it is left out.
const MAX_SUMMARIES: u8 = 5;

/// Whether a summary that was sent so many times is sent once more.
fn is_tried_again(sent: &Result<u64, Fate>, times: u8) -> bool {
    matches!(sent, Err(Fate::Failed)) && times < MAX_SUMMARIES
}

/// Whether a torrent is looked at though its message is gone: what we have begun, of which is not known yet how large it is.
fn goes_on_unseen(spot: Spot, entry: &Entry, size: u64) -> bool {
    spot.ours && entry.size.is_none() && size == 0
}

/// Whether all that is wanted of it is here.
pub(crate) fn is_complete(torrent: &Torrent) -> bool {
    let wanted = torrent.wanted.unwrap_or(torrent.size);
    torrent.state == State::Seeding || wanted > 0 && torrent.done.is_some_and(|done| done >= wanted)
}

impl Watched {
    async fn look(&mut self, watch: Watch) -> Flow {
        let config = self.bot.config();
        let Some(entry) = config.by_id(&self.id) else { return self.close_unknown().await };
        let torrent = match self.bot.daemon.torrent(&self.id).await {
            Ok(torrent) => torrent,
            Err(ClientError::Problem(problem)) if problem.kind == "not_here" => {
                self.bot.retain_begun(|id| *id != self.id);
                return self.close(entry, "It was removed, here or elsewhere.").await;
            }
            Err(error) => {
                let note = crate::orders::away(&error);
                let put = self.put(entry, None, watch, Some(&note), false).await;
                return if goes_on_unseen(self.spot, entry, 0) { Flow::Continue(()) } else { put };
            }
        };
        self.before.see(&torrent);
        if torrent.state == State::Downloading {
            self.was_partial = true;
            self.rate(torrent.rate_down);
        }
        // What was here before is somebody's: only what we have begun goes again.
        if self.spot.ours && entry.size.is_none() && torrent.size > config.limits.torrent_bytes {
            return self.turn_away(&config, entry, &torrent).await;
        }
        let rests = matches!(torrent.state, State::Paused | State::Stopped);
        // One that rests is not asked: its pieces stay as they were.
        if !rests {
            self.pieces = self.bot.daemon.pieces(&self.id).await.ok();
        }
        let is_over = torrent.state == State::Seeding || rests && is_complete(&torrent);
        let note = self.said.with(|heard| heard.is_deaf()).then_some(UNHEARD).filter(|_| !is_over);
        let is_gone = self.put(entry, Some(&torrent), watch, note, is_over).await.is_break();
        if is_gone {
            let goes_on = goes_on_unseen(self.spot, entry, torrent.size);
            return if goes_on { Flow::Continue(()) } else { Flow::Break(()) };
        }
        if is_over {
            return self.finish(entry, torrent.wanted.unwrap_or(torrent.size)).await;
        }
        let shown_for = shown_for(self.spot, seconds(), self.began.elapsed());
        if !self.spot.thread && shown_for >= self.bot.options.thread_after {
            self.move_to_thread(entry).await;
        }
        Flow::Continue(())
    }

    /// Edits the message, unless it says so already; if that is the `last` time, until Discord takes it.
    async fn put(
        &mut self,
        entry: &Entry,
        torrent: Option<&Torrent>,
        watch: Watch,
        note: Option<&str>,
        last: bool,
    ) -> Flow {
        if self.is_gone {
            return Flow::Break(());
        }
        let lines = self.said.with(|heard| heard.lines(watch));
        let pieces = self.pieces.as_ref().filter(|_| torrent.is_some());
        let embed = show::live(&Live { entry, torrent, pieces, lines: &lines, note });
        let is_ours = torrent.is_some_and(|torrent| self.bot.begun_by(torrent).is_some());
        let buttons = show::buttons(&self.id, torrent.map(|torrent| torrent.state), is_ours);
        let now = (embed, buttons);
        if self.shown.as_ref() == Some(&now) {
            return Flow::Continue(());
        }
        let message = Message { embed: Some(now.0.clone()), buttons: now.1.clone(), ..Message::default() };
        let fate = match last {
            true => self.edit_last(self.spot, &message).await,
            false => self.bot.edit(self.spot, &message).await,
        };
        match fate {
            Fate::Sent => {
                self.shown = Some(now);
                Flow::Continue(())
            }
            Fate::Failed | Fate::Archived => Flow::Continue(()),
            // The download goes on without it.
            Fate::Gone => {
                self.is_gone = true;
                Flow::Break(())
            }
        }
    }

    /// An edit that no other one follows: what Discord does not take is sent a few times more.
    async fn edit_last(&self, spot: Spot, message: &Message) -> Fate {
        for _ in 1..MAX_SUMMARIES {
            match self.bot.edit(spot, message).await {
                Fate::Failed => sleep(self.bot.options.edit_every).await,
                fate => return fate,
            }
        }
        self.bot.edit(spot, message).await
    }

    /// A torrent that turns out to be too large, now that it is known, goes again.
    async fn turn_away(&mut self, config: &Config, entry: &Entry, torrent: &Torrent) -> Flow {
        let known = Entry { size: Some(torrent.size), ..entry.clone() };
        let mut refused = config.fits(&known).err().map(|refused| refused.to_string()).unwrap_or_default();
        let Ok(files) = crate::orders::end(&self.bot, &self.id, true).await else {
            return Flow::Continue(());
        };
        if !matches!(files, Files::Gone) {
            refused = format!("{refused} It goes again; {}.", files.told());
        }
        self.close(entry, &refused).await
    }

    async fn close(&mut self, entry: &Entry, note: &str) -> Flow {
        // Without buttons; whether it works in the end makes no difference any more.
        let _ = self.put(entry, None, Watch::All, Some(note), true).await;
        Flow::Break(())
    }

    /// It was taken off the allow-list: what we have begun ends, what was here before goes on.
    async fn close_unknown(&mut self) -> Flow {
        let text = match self.spot.ours {
            false => "It is not on the allow-list any more, and is not shown here.",
            true => match crate::orders::end(&self.bot, &self.id, false).await {
                Ok(_) => "It is not on the allow-list any more, and is stopped; its files stay.",
                Err(ClientError::Problem(problem)) if problem.kind == "not_here" => {
                    "It is not on the allow-list any more."
                }
                // It has to be stopped, whenever the daemon is there again.
                Err(_) => return Flow::Continue(()),
            },
        };
        self.say_last(text).await
    }

    /// It was removed, and asked for again: another message shows it.
    async fn close_replaced(&self) {
        let _ = self.say_last("It was removed, and begun again below.").await;
    }

    async fn say_last(&self, text: &str) -> Flow {
        let message = Message { embed: Some(show::embed("", text, &self.id)), ..Message::default() };
        let _ = self.edit_last(self.spot, &message).await;
        Flow::Break(())
    }

    fn rate(&mut self, rate: u64) {
        self.fastest = self.fastest.max(rate);
        keep(&mut self.rates, rate);
    }

    /// Tells that all is here, once; a few times more if Discord does not take it.
    async fn finish(&mut self, entry: &Entry, size: u64) -> Flow {
        let finished = self.said.with(|heard| heard.finished());
        let took = self.was_partial.then(|| took(self.began, finished, Instant::now()));
        let (files, unread, more) = self.digests().await;
        let (there, fastest) = (self.before.there, self.fastest);
        let embed =
            show::summary(&Summary { entry, size, there, took, fastest, files: &files, unread, more });
        let mut attached = Vec::new();
        if let Some(took) = took
            && let Ok(graph) = picture::speed(&self.rates, took)
        {
            attached.push(("speed.png", graph));
        }
        let head = if self.is_new { String::new() } else { late(there, size) };
        let log = self.said.with(|heard| heard.log(&head));
        if !log.is_empty() {
            attached.push(("trace.txt", log.into_bytes()));
        }
        let message = Message { embed: Some(embed), files: attached, ..Message::default() };
        let sent = self.bot.send(self.spot.channel, &message).await;
        self.summaries += 1;
        if is_tried_again(&sent, self.summaries) { Flow::Continue(()) } else { Flow::Break(()) }
    }

    /// Path, SHA-1 and SHA-256 of files, how many could not be read for that, and how many other files there are.
    async fn digests(&self) -> (Vec<(String, String, String)>, usize, usize) {
        let Ok(files) = self.bot.daemon.files(&self.id).await else { return (Vec::new(), 0, 0) };
        let (mut told, mut unread) = (Vec::new(), 0);
        for file in to_digest(&files) {
            match digest(&self.bot.daemon, &self.id, file).await {
                Some((sha1, sha256)) => told.push((file.path.clone(), sha1, sha256)),
                None => unread += 1,
            }
        }
        let more = files.iter().filter(|file| !file.padding).count() - told.len() - unread;
        (told, unread, more)
    }

    /// Goes on in a thread below the message.
    async fn move_to_thread(&mut self, entry: &Entry) {
        let Some((embed, buttons)) = self.shown.clone() else { return };
        let name = inert::clean(&entry.name);
        let begun = match self.thread {
            Some(thread) => Ok(thread),
            None => self.bot.thread(self.spot, &name).await,
        };
        self.thread = begun.as_ref().ok().copied();
        let message = Message { embed: Some(embed), buttons, ..Message::default() };
        let moved = match begun {
            Ok(thread) => self.bot.send(thread, &message).await.map(|id| (thread, id)),
            Err(fate) => Err(fate),
        };
        let (thread, id) = match moved {
            Ok(moved) => moved,
            // A channel without threads, or one where nothing may be said in them: it stays.
            Err(Fate::Gone) => {
                self.spot.thread = true;
                return;
            }
            // At the next look it is tried again.
            Err(_) => return,
        };
        let before = self.spot;
        self.spot = Spot { channel: thread, message: id, thread: true, ..before };
        self.bot.keep(&self.id, self.spot);
        let text = "This takes longer; it goes on in the thread.";
        let message = Message { embed: Some(show::embed(&entry.name, text, &self.id)), ..Message::default() };
        let _ = self.edit_last(before, &message).await;
    }
}

/// How long it took until all was here; until it is looked at if that was not heard.
fn took(began: Instant, finished: Option<Instant>, now: Instant) -> Duration {
    finished.filter(|&finished| finished > began).unwrap_or(now).saturating_duration_since(began)
}

/// What a trace begins with that is not all of it.
fn late(there: u64, size: u64) -> String {
    let (there, size) = (Size(there), Size(size));
    format!("(it begins here, when {there} of {size} were there: what was said before was not heard)\n")
}

/// SHA-1 and SHA-256 of a file; `None` if the daemon does not give all of it, or hangs while it does.
async fn digest(daemon: &Client, id: &str, file: &api::File) -> Option<(String, String)> {
    let mut bytes = timeout(SILENCE, daemon.file(id, file.index, None)).await.ok()?.ok()?;
    if bytes.status() != 200 {
        return None;
    }
    let (mut sha1, mut sha256, mut length) = (hash::Sha1::new(), hash::Sha256::new(), 0);
    while let Some(chunk) = timeout(SILENCE, bytes.next()).await.ok()?.ok()? {
        sha1.update(&chunk);
        sha256.update(&chunk);
        length += chunk.len() as u64;
    }
    (length == file.length).then(|| (hex(&sha1.finalize()), hex(&sha256.finalize())))
}

/// Adds a rate; when there are too many, each two become their mean.
fn keep(rates: &mut Vec<u64>, rate: u64) {
    if rates.len() >= MAX_RATES {
        *rates = rates.chunks(2).map(|two| two.iter().sum::<u64>() / two.len() as u64).collect();
    }
    rates.push(rate);
}

/// The largest files first, as many as are read for their digests.
fn to_digest(files: &[api::File]) -> Vec<&api::File> {
    let mut files: Vec<_> = files.iter().filter(|file| !file.padding).collect();
    files.sort_by_key(|file| (std::cmp::Reverse(file.length), file.index));
    let mut room = MAX_DIGESTED;
    files.retain(|file| match room.checked_sub(file.length) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    });
    files.truncate(MAX_DIGESTS);
    files
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use api::{File, Priority};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn what_took_how_long_does_not_hang_on_when_it_is_looked_at() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(took(began, Some(at(2)), at(9)), Duration::from_secs(2));
        assert_eq!(took(began, None, at(9)), Duration::from_secs(9));
        assert_eq!(took(at(5), Some(at(2)), at(9)), Duration::from_secs(4), "that was another time");
    }

    #[test]
    fn a_summary_is_tried_a_few_times() {
        assert!(is_tried_again(&Err(Fate::Failed), MAX_SUMMARIES - 1));
        assert!(!is_tried_again(&Err(Fate::Failed), MAX_SUMMARIES));
        assert!(!is_tried_again(&Err(Fate::Gone), 1) && !is_tried_again(&Ok(1), 1));
    }

    #[test]
    fn without_its_message_only_what_has_no_size_yet_is_looked_at() {
        let spot = |ours| Spot { channel: 1, message: 2, by: 3, thread: false, ours, since: 4 };
        let entry = |size| Entry {
            info_hash: "ab".repeat(20),
            name: "x".into(),
            licence: "MIT".into(),
            size,
            path: None,
        };
        assert!(goes_on_unseen(spot(true), &entry(None), 0));
        assert!(!goes_on_unseen(spot(true), &entry(None), 5), "it was found to fit");
        assert!(
            !goes_on_unseen(spot(true), &entry(Some(5)), 0) && !goes_on_unseen(spot(false), &entry(None), 0)
        );
    }

    #[test]
    fn what_was_there_is_not_what_came() {
        let torrent = |done, downloaded| {
            let torrent = serde_json::json!({
                "id": "", "name": "", "state": "downloading", "dir": "", "size": 100, "wanted": 100, "done": done,
                "rate_down": 0, "rate_up": 0, "downloaded": downloaded, "peers": 0, "seeds": 0, "private": false,
                "tags": [], "place": 0, "revision": 0,
            });
            serde_json::from_value::<Torrent>(torrent).unwrap()
        };
        let there = |downloaded, looks: &[(Option<u64>, Option<u64>)]| {
            let mut before = Before { downloaded, there: 0 };
            looks.iter().for_each(|&(done, downloaded)| before.see(&torrent(done, downloaded)));
            before.there
        };
        // Begun here: from nothing, some of it wasted; and from what is found on disk.
        assert_eq!(there(Some(0), &[(Some(0), Some(0)), (Some(40), Some(50)), (Some(100), Some(110))]), 0);
        assert_eq!(there(Some(0), &[(None, None), (Some(60), Some(0)), (Some(100), Some(40))]), 60);
        assert_eq!(there(Some(0), &[(Some(0), Some(0)), (Some(60), Some(0)), (Some(100), Some(45))]), 60);
        // Seen when it was half there, after a restart.
        assert_eq!(there(None, &[(None, None), (Some(50), Some(55)), (Some(100), Some(105))]), 50);
    }

    #[test]
    fn a_restart_does_not_make_a_message_young() {
        let spot = |since| Spot { channel: 1, message: 2, by: 3, thread: false, ours: true, since };
        let looked = Duration::from_secs(5);
        assert_eq!(shown_for(spot(1000), 1600, looked), Duration::from_secs(600));
        assert_eq!(shown_for(spot(1600), 1000, looked), looked, "somebody set the clock");
        assert_eq!(shown_for(spot(0), 1600, looked), looked, "an older version kept it");
    }

    fn file(index: usize, length: u64, padding: bool) -> File {
        File { index, path: index.to_string(), length, priority: Priority::Normal, padding }
    }

    /// What a daemon answers to who asks for a file of three bytes, and whether it hangs then.
    async fn digest_of(answers: &'static [u8], hangs: bool) -> Option<(String, String)> {
        let daemon = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&daemon.local_addr().unwrap().to_string(), None).unwrap();
        let daemon = tokio::spawn(async move {
            let (mut asked, _) = daemon.accept().await.unwrap();
            assert!(asked.read(&mut [0; 4096]).await.unwrap() > 0);
            asked.write_all(answers).await.unwrap();
            if hangs {
                tokio::time::pause();
            }
            std::future::pending::<()>().await;
            drop(asked);
        });
        let digest = timeout(10 * SILENCE, digest(&client, "ab", &file(0, 3, false))).await;
        daemon.abort();
        if hangs {
            tokio::time::resume();
        }
        digest.unwrap()
    }

    #[tokio::test]
    async fn a_daemon_that_hangs_within_a_file_tells_no_digest() {
        let whole = digest_of(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", false).await.unwrap();
        assert_eq!(whole.0, "a9993e364706816aba3e25717850c26c9cd0d89d");
        for (answers, hangs) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"[..], true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n", true),
            (b"HTTP/1.1 20", true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", false),
            (b"HTTP/1.1 206 OK\r\ncontent-length: 3\r\n\r\nabc", false),
        ] {
            assert_eq!(digest_of(answers, hangs).await, None, "{}", String::from_utf8_lossy(answers));
        }
    }

    #[test]
    fn rates_are_bounded_and_keep_their_shape() {
        let mut rates = Vec::new();
        (0..MAX_RATES).for_each(|_| keep(&mut rates, 7));
        assert_eq!(rates.len(), MAX_RATES);
        keep(&mut rates, 9);
        assert_eq!((rates.len(), rates[0], rates.last()), (MAX_RATES / 2 + 1, 7, Some(&9)));
    }

    #[test]
    fn of_the_largest_files_digests_are_told() {
        let mut files = vec![file(0, MAX_DIGESTED, true), file(1, MAX_DIGESTED, false), file(2, 1, false)];
        let indexes = |files: &[File]| to_digest(files).iter().map(|file| file.index).collect::<Vec<_>>();
        assert_eq!(indexes(&files), [1], "no room for another one");
        files = (0..MAX_DIGESTS + 2).map(|index| file(index, index as u64, false)).collect();
        assert_eq!(indexes(&files), [6, 5, 4, 3, 2]);
    }
}
