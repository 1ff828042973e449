//! Path templates, by the grammar in `google/api/http.proto`:
//!
//! ```text
//! Template = "/" Segments [ Verb ] ;
//! Segments = Segment { "/" Segment } ;
//! Segment  = "*" | "**" | LITERAL | Variable ;
//! Variable = "{" FieldPath [ "=" Segments ] "}" ;
//! FieldPath = IDENT { "." IDENT } ;
//! Verb     = ":" LITERAL ;
//! ```

use std::fmt;

use crate::TEMPLATE_BYTES_MAX;

/// A template, laid out flat: what a variable matches stands among the other segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pub parts: Vec<Part>,
    pub variables: Vec<Variable>,
    /// Without its colon.
    pub verb: Option<String>,
}

/// One segment of a path. The number is the place of the variable that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Literal {
        text: String,
        of: Option<usize>,
    },
    /// `*`: one segment.
    Single {
        of: Option<usize>,
    },
    /// `**`: the rest, none of it included.
    Rest {
        of: Option<usize>,
    },
}

/// `{a.b=shelves/*}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Names of fields as the `.proto` spells them.
    pub field_path: Vec<String>,
    /// What it matches; `*` where the template says nothing.
    pub pattern: String,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    #[error("it begins with /")]
    NoSlash,
    #[error("it is longer than {max} bytes")]
    TooLong { max: usize },
    #[error("a segment is empty")]
    EmptySegment,
    #[error("{segment:?} is neither a literal, * nor **")]
    Segment { segment: String },
    #[error("a brace is not closed, or closes nothing")]
    Brace,
    #[error("{text:?} is no field path: names joined by dots")]
    FieldPath { text: String },
    #[error("** is the last segment if it is there")]
    RestNotLast,
    #[error("the verb after the colon is empty")]
    EmptyVerb,
}

impl Template {
    /// # Errors
    /// The text does not follow the grammar.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.len() > TEMPLATE_BYTES_MAX {
            return Err(TemplateError::TooLong {
                max: TEMPLATE_BYTES_MAX,
            });
        }
        let rest = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        let (path, verb) = split_verb(rest)?;
        let mut template = Self {
            parts: Vec::new(),
            variables: Vec::new(),
            verb: verb.map(str::to_owned),
        };
        if !path.is_empty() || verb.is_some() {
            for segment in split_segments(path)? {
                template.segment(segment)?;
            }
        }
        let rest = template
            .parts
            .iter()
            .position(|part| matches!(part, Part::Rest { .. }));
        match rest {
            Some(at) if at + 1 != template.parts.len() => Err(TemplateError::RestNotLast),
            _ => Ok(template),
        }
    }

    fn segment(&mut self, segment: &str) -> Result<(), TemplateError> {
        let Some(inner) = segment.strip_prefix('{') else {
            self.parts.push(plain(segment, None)?);
            return Ok(());
        };
        let inner = inner.strip_suffix('}').ok_or(TemplateError::Brace)?;
        let (path, pattern) = inner.split_once('=').unwrap_or((inner, "*"));
        let field_path: Vec<String> = path.split('.').map(str::to_owned).collect();
        if !field_path.iter().all(|name| is_identifier(name)) {
            return Err(TemplateError::FieldPath {
                text: path.to_owned(),
            });
        }
        let of = Some(self.variables.len());
        for segment in pattern.split('/') {
            self.parts.push(plain(segment, of)?);
        }
        self.variables.push(Variable {
            field_path,
            pattern: pattern.to_owned(),
        });
        Ok(())
    }
}

fn plain(segment: &str, of: Option<usize>) -> Result<Part, TemplateError> {
    match segment {
        "" => Err(TemplateError::EmptySegment),
        "*" => Ok(Part::Single { of }),
        "**" => Ok(Part::Rest { of }),
        text if text.contains(['{', '}']) => Err(TemplateError::Brace),
        text if text.contains(['*', '?', '#', ' ']) || text.chars().any(char::is_control) => {
            Err(TemplateError::Segment {
                segment: text.to_owned(),
            })
        }
        text => Ok(Part::Literal {
            text: text.to_owned(),
            of,
        }),
    }
}

fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// The verb begins at the last colon of the last segment, outside of braces.
fn split_verb(text: &str) -> Result<(&str, Option<&str>), TemplateError> {
    let from = text.rfind(['/', '}']).map_or(0, |at| at + 1);
    let Some(colon) = text[from..].rfind(':').map(|at| from + at) else {
        return Ok((text, None));
    };
    match &text[colon + 1..] {
        "" => Err(TemplateError::EmptyVerb),
        verb if verb.contains(['{', '*', '?', '#', ' ']) => Err(TemplateError::Segment {
            segment: verb.to_owned(),
        }),
        verb => Ok((&text[..colon], Some(verb))),
    }
}

/// At slashes outside of braces.
fn split_segments(text: &str) -> Result<Vec<&str>, TemplateError> {
    let mut segments = Vec::new();
    let (mut from, mut inside) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if inside => return Err(TemplateError::Brace),
            b'{' => inside = true,
            b'}' if !inside => return Err(TemplateError::Brace),
            b'}' => inside = false,
            b'/' if !inside => {
                segments.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(TemplateError::Brace);
    }
    segments.push(&text[from..]);
    Ok(segments)
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field_path.join("."))
    }
}
