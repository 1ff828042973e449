//! What the person at the terminal sees while a launch runs: one line per gate, a spinner on a TTY.
//!
//! Progress goes to stderr; only results go to stdout. Never decides anything.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Width of the terminal that a table may use when it cannot be asked.
const PLAIN_WIDTH: usize = 100;

/// The terminal. Cheap to clone; all clones write to the same lines.
#[derive(Debug, Clone)]
pub struct Console {
    bar: Option<ProgressBar>,
    silent: bool,
    color: bool,
}

impl Console {
    /// A spinner when stderr is a terminal, plain lines else.
    pub fn new() -> Self {
        let tty = std::io::stderr().is_terminal();
        let bar = tty.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            let style = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            bar.set_style(style);
            bar
        });
        Self {
            bar,
            silent: false,
            color: tty && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    /// Says nothing; for tests.
    pub const fn silent() -> Self {
        Self {
            bar: None,
            silent: true,
            color: false,
        }
    }

    /// A line that stays.
    pub fn line(&self, text: &str) {
        if self.silent {
            return;
        }
        match &self.bar {
            Some(bar) => bar.suspend(|| write_line(text)),
            None => write_line(text),
        }
    }

    /// What happens now; replaces the one before. Shown on a terminal only.
    pub fn now(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message(text.to_owned());
        }
    }

    /// Takes the spinner away.
    pub fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// The text in a colour, if the terminal has any.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if self.color {
            format!("\x1b[{}m{text}\x1b[0m", paint.code())
        } else {
            text.to_owned()
        }
    }
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Paint {
    Good,
    Bad,
    Open,
    Dim,
    Bold,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31;1",
            Self::Open => "33",
            Self::Dim => "2",
            Self::Bold => "1",
        }
    }
}

fn write_line(text: &str) {
    // A closed stderr is no reason to stop a launch.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Columns that a string takes on a terminal: Chinese characters take two.
pub fn columns(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// One claim of a report on a line of its own, with a sign that says whether it holds.
pub fn claim(console: &Console, ok: bool, part: &str, says: &str) {
    let sign = if ok {
        console.paint(Paint::Good, "✓")
    } else {
        console.paint(Paint::Bad, "✗")
    };
    println!("{sign} {}  {says}", pad(part, 26));
}

/// `text` filled with spaces to `width` columns.
pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns(text));
    format!("{text}{}", " ".repeat(missing))
}

/// Breaks a text at spaces into lines of at most `width` columns; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && columns(&line) + 1 + columns(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The width that a table may use.
pub fn width() -> usize {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|w| w.parse().ok())
        .unwrap_or(PLAIN_WIDTH)
        .clamp(60, 140)
}

const fn is_wide(c: char) -> bool {
    matches!(c as u32, 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF | 0xFE30..=0xFE6F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_takes_two_columns() {
        assert_eq!(columns("灰度 ok"), 7);
        assert_eq!(pad("灰度", 6), "灰度  ");
    }

    #[test]
    fn text_is_wrapped_at_spaces() {
        assert_eq!(
            wrap("p99 is 31 ms, at most 200 ms", 12),
            ["p99 is 31", "ms, at most", "200 ms"]
        );
        assert_eq!(wrap("", 12), Vec::<String>::new());
    }
}
