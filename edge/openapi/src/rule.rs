//! The `google.api.http` annotation of a method (`google/api/http.proto`), read from its options.

use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

use crate::{error::GenerateError, template::Template};

/// The extension of `google.protobuf.MethodOptions` that carries the rule.
const HTTP: &str = "google.api.http";

/// An HTTP method that an OpenAPI path item has a place for, in the order of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Get,
    Put,
    Post,
    Delete,
    Options,
    Head,
    Patch,
    Trace,
}

impl Verb {
    /// The key of a path item.
    pub fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Post => "post",
            Self::Delete => "delete",
            Self::Options => "options",
            Self::Head => "head",
            Self::Patch => "patch",
            Self::Trace => "trace",
        }
    }

    fn from_kind(kind: &str) -> Option<Self> {
        const ALL: [Verb; 8] = [
            Verb::Get,
            Verb::Put,
            Verb::Post,
            Verb::Delete,
            Verb::Options,
            Verb::Head,
            Verb::Patch,
            Verb::Trace,
        ];
        ALL.into_iter().find(|verb| verb.key().eq_ignore_ascii_case(kind))
    }
}

/// Which part of the request message the body holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyRule {
    /// There is no body; what the path does not name is in the query.
    None,
    /// All that the path does not name.
    Whole,
    /// This field.
    Field(String),
}

/// One way to call a method over HTTP.
#[derive(Debug, Clone)]
pub struct Binding {
    pub verb: Verb,
    pub template: Template,
    pub body: BodyRule,
    /// The field of the response message that is answered instead of all of it.
    pub response_body: Option<String>,
}

/// The ways to call a method, the main one first; none without an annotation.
pub fn bindings(method: &MethodDescriptor) -> Result<Vec<Binding>, GenerateError> {
    let Some(extension) = method.parent_pool().get_extension_by_name(HTTP) else {
        return Ok(Vec::new());
    };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Ok(Vec::new());
    }
    let rule = options.get_extension(&extension);
    let Some(rule) = rule.as_message() else {
        return Ok(Vec::new());
    };
    let mut bindings = vec![binding(method, rule)?];
    let more = rule.get_field_by_name("additional_bindings");
    for rule in more.as_deref().and_then(Value::as_list).unwrap_or_default() {
        let Some(rule) = rule.as_message() else { continue };
        if rule.has_field_by_name("additional_bindings") {
            return Err(GenerateError::NestedBindings {
                method: method.full_name().to_owned(),
            });
        }
        bindings.push(binding(method, rule)?);
    }
    Ok(bindings)
}

fn binding(method: &MethodDescriptor, rule: &DynamicMessage) -> Result<Binding, GenerateError> {
    let name = || method.full_name().to_owned();
    let text = |field: &str| {
        rule.get_field_by_name(field)
            .and_then(|value| value.as_str().map(str::to_owned))
            .filter(|text| !text.is_empty())
    };
    let standard = [Verb::Get, Verb::Put, Verb::Post, Verb::Delete, Verb::Patch]
        .into_iter()
        .find_map(|verb| Some((verb, text(verb.key())?)));
    let (verb, template) = match standard {
        Some(found) => found,
        None => custom(rule, name)?,
    };
    let parsed = Template::parse(&template).map_err(|source| GenerateError::Template {
        method: name(),
        template,
        source,
    })?;
    let body = match text("body") {
        None => BodyRule::None,
        Some(all) if all == "*" => BodyRule::Whole,
        Some(field) => BodyRule::Field(field),
    };
    Ok(Binding {
        verb,
        template: parsed,
        body,
        response_body: text("response_body"),
    })
}

/// `custom { kind: "HEAD" path: "/v1/…" }`.
fn custom(rule: &DynamicMessage, name: impl Fn() -> String) -> Result<(Verb, String), GenerateError> {
    let pattern = rule.get_field_by_name("custom");
    let pattern = pattern.as_deref().and_then(Value::as_message);
    let text = |field: &str| {
        let value = pattern?.get_field_by_name(field)?;
        value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let (Some(kind), Some(path)) = (text("kind"), text("path")) else {
        return Err(GenerateError::NoPath { method: name() });
    };
    match Verb::from_kind(&kind) {
        Some(verb) => Ok((verb, path)),
        None => Err(GenerateError::UnknownVerb { method: name(), kind }),
    }
}
