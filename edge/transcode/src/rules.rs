//! The `google.api.http` rules of a descriptor set, checked against the messages that they speak of.

use http::uri::PathAndQuery;
use prost::Message as _;
use prost_reflect::{DescriptorPool, MethodDescriptor};

use crate::error::BuildError;
use crate::router::{Router, Verb};
use crate::scalar;
use crate::schema::{Form, Kind, MessageId, Schema, Shape};
use crate::template::{self, Template};

/// `google.api.HttpRule`, by its published numbers: a set need not describe the option to have it.
#[derive(Clone, PartialEq, prost::Message)]
struct HttpRule {
    #[prost(oneof = "Pattern", tags = "2, 3, 4, 5, 6, 8")]
    pattern: Option<Pattern>,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<HttpRule>,
    #[prost(string, tag = "12")]
    response_body: String,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Pattern {
    #[prost(string, tag = "2")]
    Get(String),
    #[prost(string, tag = "3")]
    Put(String),
    #[prost(string, tag = "4")]
    Post(String),
    #[prost(string, tag = "5")]
    Delete(String),
    #[prost(string, tag = "6")]
    Patch(String),
    #[prost(message, tag = "8")]
    Custom(CustomPattern),
}

#[derive(Clone, PartialEq, prost::Message)]
struct CustomPattern {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MethodOptions {
    #[prost(message, optional, tag = "72295728")]
    http: Option<HttpRule>,
}

/// One way to call one method.
#[derive(Debug)]
pub(crate) struct Binding {
    /// `package.Service.Method`
    pub(crate) method_name: Box<str>,
    /// `/package.Service/Method`
    pub(crate) rpc_path: PathAndQuery,
    pub(crate) input: MessageId,
    pub(crate) output: MessageId,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
    pub(crate) template: Template,
    /// What each of the template's variables is in the request.
    pub(crate) captures: Vec<FieldPath>,
    pub(crate) body: Body,
    /// The field of the answer that is the HTTP body; the whole of it if none.
    pub(crate) response_field: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    None,
    All,
    Field(usize),
}

/// Fields from a message inwards, by their index in each; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPath(pub(crate) Vec<(MessageId, usize)>);

pub(crate) fn bindings(pool: &DescriptorPool, schema: &Schema) -> Result<(Vec<Binding>, Router), BuildError> {
    let mut bindings: Vec<Binding> = Vec::new();
    let mut router = Router::default();
    for method in pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        let options = method.options().encode_to_vec();
        let options = MethodOptions::decode(&*options)
            .map_err(|error| rule_error(&method, format!("its option cannot be read: {error}")))?;
        let Some(rule) = options.http else { continue };
        if rule
            .additional_bindings
            .iter()
            .any(|more| !more.additional_bindings.is_empty())
        {
            return Err(rule_error(
                &method,
                "additional_bindings lie within additional_bindings".into(),
            ));
        }
        for rule in std::iter::once(&rule).chain(&rule.additional_bindings) {
            let (verb, binding) = binding(&method, rule, schema)?;
            router
                .insert(&binding.template, verb.clone(), bindings.len())
                .map_err(|other| BuildError::Conflict {
                    first: bindings[other].method_name.clone().into(),
                    second: binding.method_name.clone().into(),
                    verb: match verb {
                        Verb::Any => "*".into(),
                        Verb::Named(name) => name,
                    },
                    template: path_of(rule).unwrap_or_default().to_owned(),
                })?;
            bindings.push(binding);
        }
    }
    Ok((bindings, router))
}

fn rule_error(method: &MethodDescriptor, reason: String) -> BuildError {
    BuildError::Rule {
        method: method.full_name().to_owned(),
        reason,
    }
}

fn path_of(rule: &HttpRule) -> Option<&str> {
    Some(match rule.pattern.as_ref()? {
        Pattern::Get(path)
        | Pattern::Put(path)
        | Pattern::Post(path)
        | Pattern::Delete(path)
        | Pattern::Patch(path) => path,
        Pattern::Custom(custom) => &custom.path,
    })
}

fn binding(
    method: &MethodDescriptor,
    rule: &HttpRule,
    schema: &Schema,
) -> Result<(Verb, Binding), BuildError> {
    let error = |reason| rule_error(method, reason);
    let (Some(pattern), Some(path)) = (&rule.pattern, path_of(rule)) else {
        return Err(error(
            "its rule has no pattern (get, put, post, delete, patch or custom)".into(),
        ));
    };
    let verb = match pattern {
        Pattern::Get(_) => Verb::Named("GET".into()),
        Pattern::Put(_) => Verb::Named("PUT".into()),
        Pattern::Post(_) => Verb::Named("POST".into()),
        Pattern::Delete(_) => Verb::Named("DELETE".into()),
        Pattern::Patch(_) => Verb::Named("PATCH".into()),
        Pattern::Custom(custom) if custom.kind == "*" => Verb::Any,
        Pattern::Custom(custom) if http::Method::from_bytes(custom.kind.as_bytes()).is_ok() => {
            Verb::Named(custom.kind.clone())
        }
        Pattern::Custom(custom) => return Err(error(format!("{:?} is no HTTP method", custom.kind))),
    };
    let template = template::parse(path).map_err(|reason| BuildError::Template {
        method: method.full_name().to_owned(),
        template: path.to_owned(),
        reason,
    })?;
    let id = |name: &str| {
        schema
            .id_of(name)
            .ok_or_else(|| error(format!("{name} is not described")))
    };
    let (input, output) = (id(method.input().full_name())?, id(method.output().full_name())?);
    let captures = template
        .variables
        .iter()
        .map(|variable| capture(schema, input, &variable.field_path).map_err(&error))
        .collect::<Result<Vec<_>, _>>()?;
    let top = |id: MessageId, name: &str, of: &str| {
        let message = &schema.messages[id];
        message
            .index_named(name)
            .filter(|_| message.shape == Shape::Plain)
            .ok_or_else(|| error(format!("its {of} {name:?} is no field of {}", message.name)))
    };
    let body = match rule.body.as_str() {
        "" => Body::None,
        "*" => Body::All,
        name => Body::Field(top(input, name, "body")?),
    };
    if let Body::Field(index) = body
        && captures.iter().any(|path| path.0[0].1 == index)
    {
        return Err(error(format!("{:?} is both in its path and its body", rule.body)));
    }
    let response_field = match rule.response_body.as_str() {
        "" => None,
        name => Some(top(output, name, "response_body")?),
    };
    let rpc_path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let rpc_path = PathAndQuery::try_from(rpc_path).map_err(|_| error("its name is no path".into()))?;
    let binding = Binding {
        method_name: method.full_name().into(),
        rpc_path,
        input,
        output,
        client_streaming: method.is_client_streaming(),
        server_streaming: method.is_server_streaming(),
        template,
        captures,
        body,
        response_field,
    };
    Ok((verb, binding))
}

fn capture(schema: &Schema, input: MessageId, text: &str) -> Result<FieldPath, String> {
    let path = field_path(schema, input, text)?;
    match leaf(schema, &path).form {
        Form::One { .. } => Ok(path),
        _ => Err(format!("{text:?} is repeated and cannot be in a path")),
    }
}

pub(crate) fn leaf<'s>(schema: &'s Schema, path: &FieldPath) -> &'s crate::schema::Field {
    let (message, index) = path.0[path.0.len() - 1];
    &schema.messages[message].fields[index]
}

/// `a.b` from a message inwards, to a field that text can give.
pub(crate) fn field_path(schema: &Schema, input: MessageId, text: &str) -> Result<FieldPath, String> {
    let mut path = Vec::new();
    let mut parts = text.split('.').peekable();
    let mut message = input;
    while let Some(name) = parts.next() {
        let of = &schema.messages[message];
        let index = of
            .index_named(name)
            .filter(|_| of.shape == Shape::Plain)
            .ok_or_else(|| format!("{} has no field {:?}", of.name, scalar::shown(name)))?;
        if path.len() >= crate::wire::DEPTH_MAX {
            return Err("it lies too deep".into());
        }
        path.push((message, index));
        let field = &of.fields[index];
        let is_last = parts.peek().is_none();
        match (field.kind, field.form) {
            (_, Form::Map) => return Err(format!("{:?} is a map", field.name)),
            (Kind::Message(id), _) if is_last && !scalar::is_scalar_like(schema.messages[id].shape) => {
                return Err(format!("{:?} is a message; name a field of it", field.name));
            }
            (Kind::Message(id), Form::One { .. }) => message = id,
            _ if is_last => {}
            (Kind::Message(_), _) => return Err(format!("{:?} is a list of messages", field.name)),
            _ => return Err(format!("{:?} has no fields", field.name)),
        }
    }
    Ok(FieldPath(path))
}
