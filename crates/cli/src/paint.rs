//! Colours, where there is a terminal that wants them.

use std::fmt::{self, Display};
use std::io::{IsTerminal, stderr, stdout};

/// Paints or leaves plain: `NO_COLOR` (not empty), `TERM=dumb` and anything but a terminal stay plain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

/// What a piece of text is, which decides how it looks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Magenta,
    Cyan,
}

impl Paint {
    pub(crate) fn of_stdout() -> Paint {
        Paint { on: stdout().is_terminal() && colours_wanted() }
    }

    pub(crate) fn of_stderr() -> Paint {
        Paint { on: stderr().is_terminal() && colours_wanted() }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Paint {
        Paint { on: false }
    }

    #[cfg(test)]
    pub(crate) fn colours() -> Paint {
        Paint { on: true }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// `text` with a look; width and alignment of the format apply to the text alone.
    pub(crate) fn paint<T: Display>(self, look: Look, text: T) -> Painted<T> {
        Painted { look: self.on.then_some(look), text }
    }
}

/// Text with a look.
pub(crate) struct Painted<T> {
    look: Option<Look>,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(look) = self.look else { return self.text.fmt(f) };
        let code = match look {
            Look::Bold => 1,
            Look::Dim => 2,
            Look::Red => 31,
            Look::Green => 32,
            Look::Yellow => 33,
            Look::Magenta => 35,
            Look::Cyan => 36,
        };
        write!(f, "\x1b[{code}m")?;
        self.text.fmt(f)?;
        f.write_str("\x1b[0m")
    }
}

fn colours_wanted() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paint_adds_nothing_to_the_width() {
        assert_eq!(format!("{:>3}|", Paint { on: true }.paint(Look::Red, "x")), "\x1b[31m  x\x1b[0m|");
        assert_eq!(format!("{:<3}|", Paint { on: false }.paint(Look::Red, "x")), "x  |");
    }
}
