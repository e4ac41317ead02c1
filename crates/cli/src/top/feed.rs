//! What the daemon tells, as it comes.

use crate::failure::{Failure, kind};
use crate::remote::told;
use api::{Client, ClientError, ListQuery, Peer, Pieces, Torrent, Trace, TraceQuery, Traced};
use engine::Event;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// News that wait to be looked at. When they are more, the daemon is read no further, and says how many events were lost.
pub(super) const MAX_NEWS: usize = 256;
/// How often the daemon is asked for numbers.
const ASK_EVERY: Duration = Duration::from_millis(1000);
/// How long after an answer that did not come it is asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// What is new.
#[derive(Debug)]
pub(super) enum News {
    /// All torrents.
    Torrents(Vec<Torrent>),
    /// Of the torrent that is looked at.
    Details { id: String, peers: Vec<Peer>, pieces: Option<Pieces> },
    /// What it and its peers say.
    Said(Box<Event>),
    /// That is heard from now on.
    Listening(String),
    /// That can't be heard.
    Deaf { id: String, why: Failure },
    /// What they said and was lost.
    Lost(u64),
    /// The daemon can't be asked.
    Away(Failure),
}

/// Asks the daemon in the background.
#[derive(Debug)]
pub(super) struct Feed {
    client: Client,
    pub(super) sender: mpsc::Sender<News>,
    news: mpsc::Receiver<News>,
    list: JoinHandle<()>,
    one: Vec<JoinHandle<()>>,
}

impl Feed {
    /// To be called on a runtime.
    pub(super) fn new(client: Client) -> Feed {
        let (sender, news) = mpsc::channel(MAX_NEWS);
        let list = tokio::spawn(list(client.clone(), sender.clone()));
        Feed { client, sender, news, list, one: Vec::new() }
    }

    /// What comes next.
    pub(super) async fn news(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => news,
            // Not reached: a sender is kept here.
            None => std::future::pending().await,
        }
    }

    /// Tells of this torrent from now on, and of no other one.
    pub(super) fn look_at(&mut self, id: Option<String>) {
        self.one.drain(..).for_each(|task| task.abort());
        let Some(id) = id else { return };
        let details = details(self.client.clone(), id.clone(), self.sender.clone());
        let said = said(self.client.clone(), id, self.sender.clone());
        self.one = vec![tokio::spawn(details), tokio::spawn(said)];
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.list.abort();
        self.look_at(None);
    }
}

async fn list(client: Client, sender: mpsc::Sender<News>) {
    loop {
        let (news, wait) = match client.torrents(&ListQuery::default()).await {
            Ok(answer) => (News::Torrents(answer.torrents), ASK_EVERY),
            Err(error) => (News::Away(told(error)), AGAIN),
        };
        if sender.send(news).await.is_err() {
            return;
        }
        sleep(wait).await;
    }
}

async fn details(client: Client, id: String, sender: mpsc::Sender<News>) {
    loop {
        let (peers, pieces) = (client.peers(&id).await, client.pieces(&id).await);
        let news = match (peers, pieces) {
            (Ok(peers), Ok(pieces)) => News::Details { id: id.clone(), peers, pieces: Some(pieces) },
            // It does not run, or is gone: the list says so.
            (Err(ClientError::Problem(_)), _) | (_, Err(ClientError::Problem(_))) => {
                News::Details { id: id.clone(), peers: Vec::new(), pieces: None }
            }
            (Err(error), _) | (_, Err(error)) => News::Away(told(error)),
        };
        if sender.send(news).await.is_err() {
            return;
        }
        sleep(ASK_EVERY).await;
    }
}

async fn said(client: Client, id: String, sender: mpsc::Sender<News>) {
    let query = TraceQuery { torrent: Some(id.clone()), ..TraceQuery::default() };
    loop {
        let why = match client.trace(&query).await {
            Ok(stream) => match pass_on(stream, &id, &sender).await {
                Some(why) => why,
                None => return,
            },
            Err(error) => told(error),
        };
        if sender.send(News::Deaf { id: id.clone(), why }).await.is_err() {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// Tells what is said until the stream ends, and why that is so; `None` once nobody wants to know.
async fn pass_on(mut stream: Trace, id: &str, sender: &mpsc::Sender<News>) -> Option<Failure> {
    loop {
        let news = match stream.next().await {
            Ok(Some(Traced::Began(_))) => News::Listening(id.to_owned()),
            Ok(Some(Traced::Lost(lost))) => News::Lost(lost.lost),
            Ok(Some(Traced::Event(event))) => match serde_json::from_value(event) {
                Ok(event) => News::Said(Box::new(event)),
                // A daemon that is newer tells of what is not known here.
                Err(_) => continue,
            },
            Ok(None) => return Some(Failure::new(kind::DAEMON, "the daemon has ended")),
            Err(error) => return Some(told(error)),
        };
        sender.send(news).await.ok()?;
    }
}
