//! What is sent to Discord.

use crate::book::Spot;
use crate::bot::{Bot, lock};
use crate::commands::{Button as Ours, Does};
use crate::inert;
use crate::rest::RestError;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use twilight_http::request::TryIntoRequest;
use twilight_model::channel::message::component::{ActionRow, Button, ButtonStyle, Component};
use twilight_model::channel::message::{AllowedMentions, Embed, MessageFlags};
use twilight_model::channel::thread::AutoArchiveDuration;
use twilight_model::http::attachment::Attachment;
use twilight_model::http::interaction::{
    InteractionResponse, InteractionResponseData, InteractionResponseType,
};
use twilight_model::id::Id;
use twilight_model::id::marker::{ChannelMarker, MessageMarker};

/// Bytes of what is attached to a message, all together. What does not fit is left out.
pub(crate) const MAX_ATTACHED: usize = 8 * 1024 * 1024;

/// The code of Discord's error that a thread is archived.
const ARCHIVED: u64 = 50083;
/// That a message has a thread already.
const HAS_THREAD: u64 = 160_004;

/// How long Discord waits for an answer.
const ANSWER_IN: Duration = Duration::from_secs(3);
/// For how long it takes the answer that was promised.
const FULFIL_IN: Duration = Duration::from_secs(15 * 60);

/// What became of something that was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is there.
    Sent,
    /// The message, the channel or the right to it is gone: it makes no sense to try again.
    Gone,
    /// It is in a thread that Discord has archived.
    Archived,
    /// Discord did not take it, this time.
    Failed,
}

/// A message.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) text: Option<String>,
    pub(crate) embed: Option<Embed>,
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    pub(crate) buttons: Vec<Ours>,
}

impl Message {
    pub(crate) fn text(text: impl Into<String>) -> Message {
        Message { text: Some(crate::show::content(&text.into())), ..Message::default() }
    }

    fn attachments(&self) -> Vec<Attachment> {
        let mut room = MAX_ATTACHED;
        let mut fits = |bytes: &Vec<u8>| match room.checked_sub(bytes.len()) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        };
        let files = self.files.iter().filter(|(_, bytes)| fits(bytes));
        files
            .zip(0..)
            .map(|((name, bytes), id)| Attachment::from_bytes((*name).to_owned(), bytes.clone(), id))
            .collect()
    }

    fn components(&self) -> Vec<Component> {
        let button = |ours: &Ours| {
            let style = match ours.does {
                Does::Stop => ButtonStyle::Danger,
                Does::Pause | Does::Resume => ButtonStyle::Primary,
                Does::Detail => ButtonStyle::Secondary,
            };
            Component::Button(Button {
                id: None,
                custom_id: Some(ours.custom_id()),
                disabled: false,
                emoji: None,
                label: Some(ours.does.label().to_owned()),
                style,
                url: None,
                sku_id: None,
            })
        };
        let components: Vec<_> = self.buttons.iter().map(button).collect();
        if components.is_empty() {
            return Vec::new();
        }
        vec![Component::ActionRow(ActionRow { id: None, components })]
    }
}

impl Bot {
    /// Sends a message to a channel; its id.
    pub(crate) async fn send(&self, channel: u64, message: &Message) -> Result<u64, Fate> {
        let channel = Id::<ChannelMarker>::new_checked(channel).ok_or(Fate::Gone)?;
        let (files, components) = (message.attachments(), message.components());
        let mut request = self
            .http
            .create_message(channel)
            .components(&components)
            .embeds(message.embed.as_slice())
            .attachments(&files);
        if let Some(text) = &message.text {
            request = request.content(text);
        }
        let sent = self.rest.make::<MessageMarker>(request.try_into_request()).await;
        sent.map(Id::get).map_err(|error| fate(&error))
    }

    /// Replaces what a message says.
    pub(crate) async fn edit(&self, spot: Spot, message: &Message) -> Fate {
        let channel = Id::<ChannelMarker>::new_checked(spot.channel);
        let id = Id::<MessageMarker>::new_checked(spot.message);
        let (Some(channel), Some(id)) = (channel, id) else { return Fate::Gone };
        match self.edit_once(channel, id, message).await {
            // Nobody wrote there for long.
            Fate::Archived if self.wake(channel).await => self.edit_once(channel, id, message).await,
            fate => fate,
        }
    }

    async fn edit_once(&self, channel: Id<ChannelMarker>, id: Id<MessageMarker>, message: &Message) -> Fate {
        self.rest.ready().await;
        let turn = lock(&self.pace).turn(channel.get(), Instant::now());
        tokio::time::sleep_until(turn).await;
        let components = message.components();
        let request = self
            .http
            .update_message(channel, id)
            .components(Some(&components))
            .embeds(Some(message.embed.as_slice()));
        match self.rest.ask(request.content(message.text.as_deref()).try_into_request()).await {
            Ok(_) => Fate::Sent,
            Err(error) => fate(&error),
        }
    }

    /// Opens an archived thread again; whether that was done.
    async fn wake(&self, thread: Id<ChannelMarker>) -> bool {
        match self.rest.ask(self.http.update_thread(thread).archived(false).try_into_request()).await {
            Ok(_) => true,
            Err(error) => {
                fate(&error);
                false
            }
        }
    }

    /// Begins a thread below a message, unless it has one; its id. It is archived when nothing was written there for a week.
    pub(crate) async fn thread(&self, spot: Spot, name: &str) -> Result<u64, Fate> {
        let channel = Id::<ChannelMarker>::new_checked(spot.channel).ok_or(Fate::Gone)?;
        let id = Id::<MessageMarker>::new_checked(spot.message).ok_or(Fate::Gone)?;
        let request = self.http.create_thread_from_message(channel, id, name);
        let request = request.auto_archive_duration(AutoArchiveDuration::Week);
        match self.rest.make::<ChannelMarker>(request.try_into_request()).await {
            Ok(thread) => Ok(thread.get()),
            // It has the id of the message that it began with.
            Err(RestError::Refused { code: HAS_THREAD, .. }) => Ok(spot.message),
            // What is wrong with it stays wrong.
            Err(error @ RestError::Refused { status: 400..=499, .. }) => {
                fate(&error);
                Err(Fate::Gone)
            }
            Err(error) => Err(fate(&error)),
        }
    }

    /// Says at once that an answer will come, or gives one; as long as Discord waits.
    pub(crate) async fn respond(
        &self,
        asked: &Asked,
        kind: InteractionResponseType,
        data: Option<InteractionResponseData>,
    ) {
        let response = InteractionResponse { kind, data };
        let http = self.http.interaction(self.app);
        let request = http.create_response(Id::new(asked.id.max(1)), &asked.token, &response);
        let answer = async {
            let _turn = self.answerers.acquire().await;
            self.rest.ask(request.try_into_request()).await
        };
        // A command that nobody waits for any more is no fault.
        if let Ok(Err(error)) = timeout(ANSWER_IN, answer).await {
            fate(&error);
        }
    }

    /// Gives the answer that was promised.
    pub(crate) async fn fulfil(&self, asked: &Asked, message: &Message) {
        let files = message.attachments();
        let http = self.http.interaction(self.app);
        let request =
            http.update_response(&asked.token).embeds(Some(message.embed.as_slice())).attachments(&files);
        let request = request.content(message.text.as_deref()).try_into_request();
        if let Ok(Err(error)) = timeout(FULFIL_IN, self.rest.ask(request)).await {
            fate(&error);
        }
    }
}

/// An interaction that waits for an answer.
pub(crate) struct Asked {
    pub(crate) id: u64,
    pub(crate) token: String,
}

/// The data of an answer that only who asked sees.
pub(crate) fn whispered(text: &str) -> InteractionResponseData {
    InteractionResponseData {
        content: Some(crate::show::content(text)),
        flags: Some(MessageFlags::EPHEMERAL),
        allowed_mentions: Some(AllowedMentions::default()),
        ..InteractionResponseData::default()
    }
}

/// What an error means; it is logged.
fn fate(error: &RestError) -> Fate {
    match error {
        RestError::Refused { code: ARCHIVED, .. } => Fate::Archived,
        RestError::Refused { status: 403 | 404, .. } => Fate::Gone,
        error => {
            tracing::warn!("Discord did not take a message: {}", inert::clean(&error.to_string()));
            Fate::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_attached() {
        let files = vec![
            ("a.png", vec![0; 10]),
            ("b.txt", vec![0; MAX_ATTACHED - 9]),
            ("c.png", vec![0; MAX_ATTACHED - 10]),
        ];
        let message = Message { files, ..Message::default() };
        let names: Vec<_> = message.attachments().into_iter().map(|file| file.filename).collect();
        assert_eq!(names, ["a.png", "c.png"]);
    }
}
