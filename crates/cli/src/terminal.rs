//! How wide terminals are, and text cut to fit them.

use std::borrow::Cow;

/// Assumed where a terminal does not tell.
const USUAL: usize = 80;

/// The width of the terminal at stderr.
pub(crate) fn columns_of_stderr() -> usize {
    columns_of(&::console::Term::stderr()).unwrap_or(USUAL)
}

/// The width of the terminal at stdout; `None` if that is no terminal.
pub(crate) fn columns_of_stdout() -> Option<usize> {
    columns_of(&::console::Term::stdout())
}

fn columns_of(terminal: &::console::Term) -> Option<usize> {
    let (_, columns) = terminal.is_term().then(|| terminal.size_checked())??;
    Some(if columns == 0 { USUAL } else { columns.into() })
}

/// `text` with every line that is longer than `columns` cut, an ellipsis at its end; colours take no room.
pub(crate) fn fitted(text: &str, columns: Option<usize>) -> Cow<'_, str> {
    let Some(columns) = columns else { return Cow::Borrowed(text) };
    let cut = |line| ::console::truncate_str(line, columns, "…");
    Cow::Owned(text.split('\n').map(cut).collect::<Vec<_>>().join("\n"))
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
