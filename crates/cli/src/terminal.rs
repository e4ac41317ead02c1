//! How wide terminals are, and text cut to fit them.

use ::console::Term;
use indicatif::TermLike;
use std::borrow::Cow;
use std::io;

/// Assumed where a terminal does not tell.
const USUAL: usize = 80;
/// Columns at the right that bars leave free: a terminal writes `^C` behind them, and a line that wraps cannot be
/// taken back.
const EDGE: usize = 3;

/// The terminal at stderr, as wide as bars may be.
#[derive(Debug)]
pub(crate) struct BarTerminal(Term);

impl BarTerminal {
    /// Writes what belongs together at once.
    pub(crate) fn new() -> BarTerminal {
        BarTerminal(Term::buffered_stderr())
    }
}

/// The width that bars have.
pub(crate) fn columns_for_bars() -> usize {
    columns_of(&Term::stderr()).unwrap_or(USUAL).saturating_sub(EDGE)
}

/// The width of the terminal at stdout; `None` if that is no terminal.
pub(crate) fn columns_of_stdout() -> Option<usize> {
    columns_of(&Term::stdout())
}

fn columns_of(terminal: &Term) -> Option<usize> {
    let (_, columns) = terminal.is_term().then(|| terminal.size_checked())??;
    Some(if columns == 0 { USUAL } else { columns.into() })
}

/// `text` with every line that is longer than `columns` cut, an ellipsis at its end; colours take no room.
pub(crate) fn fitted(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns else { return Cow::Borrowed(text) };
    let cut = |line| ::console::truncate_str(line, columns, "…");
    Cow::Owned(text.split('\n').map(cut).collect::<Vec<_>>().join("\n"))
}

impl TermLike for BarTerminal {
    fn width(&self) -> u16 {
        u16::try_from(columns_for_bars()).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        assert_eq!(fitted("abcdef\nab\n", Some(4)), "abc…\nab\n");
        assert_eq!(fitted("abcdef", None), "abcdef");
        assert_eq!(fitted("\x1b[1mabcdef\x1b[0m", Some(6)), "\x1b[1mabcdef\x1b[0m");
        assert_eq!(::console::measure_text_width(&fitted("\x1b[1mabcdef\x1b[0m 日本語", Some(10))), 10);
    }
}
