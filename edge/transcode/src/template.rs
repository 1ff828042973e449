//! Path templates, by the grammar in google/api/http.proto ("Path template syntax"):
//!
//! ```text
//! Template = "/" Segments [ Verb ] ;   Segments = Segment { "/" Segment } ;
//! Segment  = "*" | "**" | LITERAL | Variable ;
//! Variable = "{" FieldPath [ "=" Segments ] "}" ;   FieldPath = IDENT { "." IDENT } ;   Verb = ":" LITERAL ;
//! ```
//!
//! `**` stands last. The path `/` alone is a template too.

/// Longer ones are no paths that anybody means.
const SEGMENTS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) verb: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    /// `*`: one segment that is not empty.
    One,
    /// `**`: all that follows, nothing included.
    Rest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) field_path: String,
    /// Which segments it captures; `end` means nothing when the last one is `**`.
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// It may span several segments: what is reserved stays escaped.
    pub(crate) is_multi: bool,
}

/// # Errors
/// What is wrong, for people.
pub(crate) fn parse(text: &str) -> Result<Template, String> {
    let mut rest = text.strip_prefix('/').ok_or("it does not begin with '/'")?;
    let mut template = Template {
        segments: Vec::new(),
        variables: Vec::new(),
        verb: None,
    };
    if rest.is_empty() {
        return Ok(template);
    }
    // A verb's colon stands behind the last segment, outside of a variable.
    let tail = rest.rfind(['/', '}']).map_or(0, |at| at + 1);
    if let Some(colon) = rest[tail..].find(':') {
        let verb = &rest[tail + colon + 1..];
        template.verb = Some(literal(verb)?.to_owned());
        rest = &rest[..tail + colon];
    }
    loop {
        let after = if let Some(inside) = rest.strip_prefix('{') {
            let (variable, after) = inside.split_once('}').ok_or("a '{' is not closed")?;
            put_variable(&mut template, variable)?;
            after
        } else {
            let end = rest.find('/').unwrap_or(rest.len());
            let segment = segment(&rest[..end])?;
            template.segments.push(segment);
            &rest[end..]
        };
        if after.is_empty() {
            break;
        }
        rest = after.strip_prefix('/').ok_or("a '/' is missing behind a '}'")?;
    }
    if template.segments.len() > SEGMENTS_MAX {
        return Err(format!("it has more than {SEGMENTS_MAX} segments"));
    }
    let last = template.segments.len() - 1;
    if template.segments[..last].contains(&Segment::Rest) {
        return Err("'**' is not its last segment".into());
    }
    Ok(template)
}

fn put_variable(template: &mut Template, text: &str) -> Result<(), String> {
    let (field_path, pattern) = text.split_once('=').unwrap_or((text, "*"));
    let is_ident = |name: &str| {
        name.bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if !field_path.split('.').all(is_ident) {
        return Err(format!("{field_path:?} is no field path"));
    }
    if template
        .variables
        .iter()
        .any(|variable| variable.field_path == field_path)
    {
        return Err(format!("{field_path:?} is captured twice"));
    }
    let start = template.segments.len();
    for part in pattern.split('/') {
        template.segments.push(segment(part)?);
    }
    let end = template.segments.len();
    template.variables.push(Variable {
        field_path: field_path.to_owned(),
        start,
        end,
        is_multi: end - start > 1 || template.segments[start] == Segment::Rest,
    });
    Ok(())
}

fn segment(text: &str) -> Result<Segment, String> {
    match text {
        "*" => Ok(Segment::One),
        "**" => Ok(Segment::Rest),
        _ => literal(text).map(|literal| Segment::Literal(literal.to_owned())),
    }
}

fn literal(text: &str) -> Result<&str, String> {
    if text.is_empty() {
        return Err("a segment is empty".into());
    }
    match text
        .chars()
        .find(|letter| !letter.is_ascii_graphic() || "{}*:=?#/".contains(*letter))
    {
        Some(letter) => Err(format!("{letter:?} cannot stand in {text:?}")),
        None => Ok(text),
    }
}
