//! One screen that is rewritten in place; lines, where there is no screen.

use std::io::{self, IsTerminal, Write};

/// Where the summary is shown.
pub struct Screen {
    is_terminal: bool,
    is_clear: bool,
}

impl Screen {
    /// Standard output.
    pub fn new() -> Self {
        Self { is_terminal: io::stdout().is_terminal(), is_clear: false }
    }

    /// Shows `lines` in place of what was shown before. Where that can't be done, `line` follows
    /// what was shown before.
    pub fn show(&mut self, lines: &[String], line: &str) -> io::Result<()> {
        let mut output = io::stdout().lock();
        if !self.is_terminal {
            writeln!(output, "{line}")?;
            return output.flush();
        }
        // Home, then every line with its rest erased, then all below: nothing flickers.
        let clear = if self.is_clear { "" } else { "\x1b[2J" };
        self.is_clear = true;
        // No line break at the end: on the last row it would push the first row out.
        write!(output, "{clear}\x1b[H{}\x1b[J", lines.join("\x1b[K\r\n"))?;
        output.flush()
    }
}
