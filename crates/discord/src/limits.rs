//! How much there may be: what Discord takes (its API, version 10), and what the bot bears.

/// Characters of a message's text. What is longer is cut.
pub const MAX_CONTENT: usize = 2000;
/// Characters of an embed's title. What is longer is cut.
pub const MAX_TITLE: usize = 256;
/// Characters of an embed's description. What is longer is cut; of lines, the oldest are left out.
pub const MAX_DESCRIPTION: usize = 4096;
/// Characters of an embed's footer. What is longer is cut.
pub const MAX_FOOTER: usize = 2048;
/// Characters of all embeds of a message together. The bot's have a title, a description and a footer, and are cut to this.
pub const MAX_EMBED: usize = 6000;
/// Choices of an autocompletion. Further ones are left out.
pub const MAX_CHOICES: usize = 25;
/// Characters of a choice, and so of a torrent's name. Longer names are refused in the configuration.
pub const MAX_NAME: usize = 100;
/// Characters of a link that an admin gives. What is longer is cut, and refused then.
pub const MAX_LINK: usize = 2000;

/// Bytes of a torrent file that are read. A longer one is refused.
pub const MAX_TORRENT: u64 = 16 * 1024 * 1024;
/// Torrents on the allow-list. Further ones are refused.
pub const MAX_TORRENTS: usize = 256;
/// Guilds, channels, or ids of one role in the configuration. More are refused.
pub const MAX_IDS: usize = 256;
/// Bytes of a configuration that are read. A longer one is refused.
pub const MAX_CONFIG: u64 = 256 * 1024;
/// Cells of a piece map in text: more pieces share them.
pub const MAX_TEXT_CELLS: usize = MAP_COLUMNS * 5;
/// Cells of a piece map as a picture: more pieces share them.
pub const MAX_PICTURE_CELLS: usize = 64 * 64;
/// Lines of what is said in a live message. Older ones are left out.
pub const MAX_LINES: usize = 12;
/// Characters of such a line. What is longer is cut.
pub const MAX_LINE: usize = 100;

/// Cells of a piece map in a line of text: what a telephone shows without a break.
pub(crate) const MAP_COLUMNS: usize = 32;
