//! What is wrong with a definition, and where.

use std::fmt;

use crate::limits::PROBLEMS_MAX;

/// One thing that is wrong. Written as `FILE:LINE:COLUMN: POINTER: MESSAGE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name of the layer, if it has one.
    pub file: String,
    /// Counted from 1; 0 when the problem has no place in the text.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// RFC 6901; empty for the whole document.
    pub pointer: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.file.is_empty() || self.line > 0 {
            f.write_str(" ")?;
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.message)
    }
}

/// Line and column of a byte offset, both counted from 1.
pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// Where a value lies: a chain from the value to the root, on the stack of whoever walks.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path {
            parent: Some(self),
            step: Step::Key(key),
        }
    }

    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    pub fn pointer(&self) -> String {
        let mut steps = Vec::new();
        let mut path = Some(self);
        while let Some(here) = path {
            match here.step {
                Step::Root => {}
                Step::Key(key) => steps.push(key.replace('~', "~0").replace('/', "~1")),
                Step::Index(index) => steps.push(index.to_string()),
            }
            path = here.parent;
        }
        steps.iter().rev().fold(String::new(), |mut pointer, step| {
            pointer.push('/');
            pointer.push_str(step);
            pointer
        })
    }
}

/// The texts that problems point into, and the problems so far.
#[derive(Debug)]
pub struct Problems<'a> {
    layers: &'a [crate::Layer<'a>],
    found: Vec<Problem>,
    left_out: usize,
}

impl<'a> Problems<'a> {
    pub fn new(layers: &'a [crate::Layer<'a>]) -> Self {
        Self {
            layers,
            found: Vec::new(),
            left_out: 0,
        }
    }

    /// `at`: the layer, and the byte in it.
    pub fn add(&mut self, (layer, at): (usize, usize), path: &Path<'_>, message: impl Into<String>) {
        if self.found.len() >= PROBLEMS_MAX {
            self.left_out += 1;
            return;
        }
        let Some(layer) = self.layers.get(layer) else {
            return;
        };
        let (line, column) = line_and_column(layer.text, at);
        let problem = Problem {
            file: layer.name.to_owned(),
            line,
            column,
            pointer: path.pointer(),
            message: message.into(),
        };
        // An evaluator that several flags refer to is wrong once.
        if !self.found.contains(&problem) {
            self.found.push(problem);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn into_found(mut self) -> Vec<Problem> {
        if self.left_out > 0 {
            self.found.push(Problem {
                file: String::new(),
                line: 0,
                column: 0,
                pointer: String::new(),
                message: format!("and {} more problems", self.left_out),
            });
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters_from_one() {
        let text = "{\n \"星\": x}\n";
        let place = |needle: &str| line_and_column(text, text.find(needle).unwrap());
        assert_eq!(place("{"), (1, 1));
        assert_eq!(place("\"星"), (2, 2));
        assert_eq!(place("x"), (2, 7));
        assert_eq!(line_and_column(text, 5), (2, 3), "inside a character: its place");
        assert_eq!(line_and_column(text, 999), (3, 1), "past the end: the end");
    }

    #[test]
    fn a_pointer_escapes_what_rfc_6901_says() {
        let root = Path::ROOT;
        let flags = root.key("flags");
        let flag = flags.key("a/b~c");
        assert_eq!(flag.index(3).pointer(), "/flags/a~1b~0c/3");
        assert_eq!(root.pointer(), "");
    }
}
