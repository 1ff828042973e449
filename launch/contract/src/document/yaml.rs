//! YAML 1.2 with places, from the parser's events. One document; aliases share their node.

use granit_parser::{Event, Parser, ScalarStyle};

use super::builder::Builder;
use super::{Mark, NodeId, Value, number};
use crate::error::ContractError;

pub(super) fn parse(text: &str, file: u32, mut builder: Builder<'_>) -> Result<NodeId, ContractError> {
    let options = granit_parser::options! { emit_comments: false };
    let mark_at = |line: usize, column: usize| Mark {
        file,
        line: u32::try_from(line).unwrap_or(u32::MAX).max(1),
        column: u32::try_from(column + 1).unwrap_or(u32::MAX),
    };
    let mut last = mark_at(1, 0);
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match event {
            Ok(it) => it,
            Err(error) => {
                let mark = mark_at(error.marker().line(), error.marker().col());
                return Err(builder.syntax(mark, error.kind().to_string()));
            }
        };
        let mark = mark_at(span.start.line(), span.start.col());
        last = mark;
        match event {
            Event::DocumentStart(..) if builder.is_complete() => {
                return Err(builder.syntax(mark, "a second document; one file holds one"));
            }
            Event::Scalar(value, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                if builder.wants_key() {
                    builder.key(&value, mark, plain);
                    continue;
                }
                let is_string = tag.as_ref().is_some_and(|tag| tag.core_suffix() == Some("str"));
                let value = if plain && !is_string {
                    number::plain_scalar(&value)
                } else {
                    Value::String(value.into())
                };
                builder.scalar(value, mark, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _) => {
                if builder.wants_key() {
                    return Err(builder.syntax(mark, "a list or a mapping as a name"));
                }
                builder.begin(matches!(event, Event::MappingStart(..)), mark, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
            Event::Alias(anchor) => {
                if builder.wants_key() {
                    return Err(builder.syntax(mark, "an alias as a name"));
                }
                builder.alias(anchor, mark)?;
            }
            _ => {}
        }
    }
    builder.finish(last)
}
