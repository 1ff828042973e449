//! The examples of docs/protocol.md, for the tests that read them and for those that replay them.

use serde_json::{Deserializer, Value};

pub const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// Stands for what an example leaves out: a member or an element of this name, or the rest of a text.
pub const LEFT_OUT: &str = "…";

/// A frame as a fenced block shows it.
#[derive(Debug)]
pub struct Shown {
    /// `client` or `server`, and what tells two of them apart: `client A`.
    pub speaker: String,
    pub frame: Value,
    /// What stands behind the frame, for people.
    #[allow(dead_code, reason = "looked at where frames are replayed")]
    pub note: String,
}

/// The fenced blocks that show frames, in order.
pub fn blocks() -> Vec<Vec<Shown>> {
    let fenced = PAGE.split("```").skip(1).step_by(2);
    fenced.map(frames).filter(|frames| !frames.is_empty()).collect()
}

fn frames(block: &str) -> Vec<Shown> {
    let lines: Vec<&str> = block.lines().collect();
    let is_frame = |line: &str| line.starts_with("client") || line.starts_with("server");
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| is_frame(line))
        .filter_map(|(at, line)| {
            let (speaker, _) = line.split_once('{')?;
            // A frame may go on in the next lines.
            let end = lines[at + 1..]
                .iter()
                .take_while(|next| next.starts_with(' '))
                .count();
            let text = lines[at..=at + end].join("\n");
            let (frame, note) = first_value(&text[speaker.len()..]);
            Some(Shown {
                speaker: speaker.trim().to_owned(),
                frame,
                note: note.trim().to_owned(),
            })
        })
        .collect()
}

/// The code in the text, outside of fenced blocks, that is a JSON object.
pub fn in_prose() -> Vec<Value> {
    let prose: String = PAGE.split("```").step_by(2).collect();
    let code = prose.split('`').skip(1).step_by(2);
    code.filter(|code| code.starts_with("{\""))
        .map(|code| first_value(code).0)
        .collect()
}

/// The body of the request that the page makes with curl.
pub fn sign_in_body() -> Value {
    let body = PAGE.split("-d '").nth(1).and_then(|rest| rest.split('\'').next());
    first_value(body.expect("the page signs in with curl")).0
}

/// The JSON value that a text begins with, and what follows it.
fn first_value(text: &str) -> (Value, String) {
    let marked = marked(text);
    let mut values = Deserializer::from_str(&marked).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => {
            let rest = marked[values.byte_offset()..].to_owned();
            (value, rest)
        }
        other => panic!("{text}: {other:?}"),
    }
}

/// JSON in which each `…` outside of a text is a member or an element.
fn marked(text: &str) -> String {
    let mut kept = String::new();
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for character in text.chars() {
        match character {
            '"' if !escaped => in_string = !in_string,
            '{' | '[' if !in_string => open.push(character),
            '}' | ']' if !in_string => {
                open.pop();
            }
            '…' if !in_string && open.last() == Some(&'{') => {
                kept.push_str("\"…\":null");
                continue;
            }
            '…' if !in_string && open.last() == Some(&'[') => {
                kept.push_str("\"…\"");
                continue;
            }
            _ => {}
        }
        escaped = in_string && character == '\\' && !escaped;
        kept.push(character);
    }
    kept
}
