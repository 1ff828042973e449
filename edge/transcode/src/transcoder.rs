//! The core: one call from HTTP/JSON to gRPC and back, as functions of what came in.

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use prost_reflect::DescriptorPool;

use crate::error::{BuildError, RequestError, ResponseError};
use crate::json::found::all_bytes;
use crate::json::read::{self, Target};
use crate::json::write::Writer;
use crate::router::{Found, Router};
use crate::rules::{self, Binding, Body};
use crate::scalar::shown;
use crate::schema::{Kind, MessageId, Schema, Shape};
use crate::status::GrpcStatus;
use crate::{bounds, path, query, wire};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What happens to a field of JSON, or a parameter of a query, that the message does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// Clients that are newer than the server go on working.
    #[default]
    Ignore,
    Reject,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Of a body, as it arrives and once it is inflated.
    pub request_bytes_max: usize,
    /// Of one message of an answer, on the wire and as JSON.
    pub response_bytes_max: usize,
    pub unknown: Unknown,
    /// Write fields without presence where they have their default, too.
    pub write_defaults: bool,
    /// Answers from this size on are compressed for who accepts it; `None`: never.
    pub gzip_bytes_min: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            request_bytes_max: 4 << 20,
            response_bytes_max: 4 << 20,
            unknown: Unknown::Ignore,
            write_defaults: false,
            gzip_bytes_min: Some(1 << 10),
        }
    }
}

/// Which method a path means, and what it captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub(crate) binding: usize,
    captures: Vec<String>,
}

/// An answer's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub content_type: HeaderValue,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub struct Transcoder {
    pub(crate) schema: Schema,
    bindings: Vec<Binding>,
    router: Router,
    pub(crate) options: Options,
}

impl Transcoder {
    /// Of an encoded `FileDescriptorSet` that holds its imports.
    ///
    /// # Errors
    /// It cannot be read, describes too much, a rule is not valid, or two rules answer the same.
    pub fn new(descriptor_set: &[u8], options: Options) -> Result<Self, BuildError> {
        bounds::check(descriptor_set)?;
        let pool = DescriptorPool::decode(descriptor_set)?;
        let schema = Schema::new(&pool);
        let (bindings, router) = rules::bindings(&pool, &schema)?;
        Ok(Self {
            schema,
            bindings,
            router,
            options,
        })
    }

    /// Whether no method has a rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// What answers a path, without its query.
    ///
    /// # Errors
    /// Nothing does, nothing with this method, or a capture cannot be decoded.
    pub fn route(&self, method: &Method, path: &str) -> Result<Route, RequestError> {
        let (binding, segments) = match self.router.find(method, path) {
            Found::Binding { binding, segments } => (binding, segments),
            Found::Nothing => return Err(RequestError::NotFound { path: shown(path) }),
            Found::OtherMethods(methods) => {
                return Err(RequestError::MethodNotAllowed {
                    method: method.to_string(),
                    allow: methods.into_iter().collect::<Vec<_>>().join(", "),
                });
            }
        };
        let captures = self.bindings[binding].template.variables.iter().map(|variable| {
            let decoded = if variable.is_multi {
                let open = variable.end == self.bindings[binding].template.segments.len();
                let end = if open { segments.len() } else { variable.end };
                path::decode_multi(&segments[variable.start..end].join("/"))
            } else {
                path::decode(segments[variable.start])
            };
            decoded.map_err(|reason| RequestError::Path {
                field: variable.field_path.clone(),
                reason: reason.to_string(),
            })
        });
        let captures = captures.collect::<Result<_, _>>()?;
        Ok(Route { binding, captures })
    }

    pub(crate) fn binding(&self, route: &Route) -> &Binding {
        &self.bindings[route.binding]
    }

    /// `/package.Service/Method`
    #[must_use]
    pub fn rpc_path(&self, route: &Route) -> &PathAndQuery {
        &self.binding(route).rpc_path
    }

    /// Whether the method answers with a stream of messages.
    #[must_use]
    pub fn is_streaming(&self, route: &Route) -> bool {
        self.binding(route).server_streaming
    }

    /// The encoded request. What the path says stands last, so that it holds whatever the body says.
    ///
    /// # Errors
    /// Path, query or body do not fit the message.
    pub fn request(
        &self,
        route: &Route,
        query: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<u8>, RequestError> {
        self.request_behind(Vec::new(), route, query, content_type, body)
    }

    /// As [`Self::request`], behind what is there already.
    pub(crate) fn request_behind(
        &self,
        mut out: Vec<u8>,
        route: &Route,
        query: Option<&str>,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<u8>, RequestError> {
        let binding = self.binding(route);
        if binding.client_streaming {
            return Err(RequestError::ClientStreaming {
                method: binding.method_name.to_string(),
            });
        }
        if binding.body != Body::None && body.len() > self.options.request_bytes_max {
            return Err(RequestError::TooLarge {
                bytes_max: self.options.request_bytes_max,
            });
        }
        match binding.body {
            Body::None => {}
            Body::All => {
                out = self.body(
                    out,
                    Target::Content(binding.input),
                    binding.input,
                    content_type,
                    body,
                )?;
            }
            Body::Field(index) => {
                let field = &self.schema.messages[binding.input].fields[index];
                out = match field.kind {
                    Kind::Message(id) if self.shape(id) == Shape::HttpBody => {
                        let start = wire::begin(&mut out, field.number);
                        out = self.body(out, Target::Content(id), id, content_type, body)?;
                        wire::end(&mut out, start);
                        out
                    }
                    _ => self.body(out, Target::Field(field), binding.input, content_type, body)?,
                };
            }
        }
        if let Some(query) = query {
            query::read(&self.schema, self.options.unknown, binding, query, &mut out)?;
        }
        for ((value, path), variable) in route
            .captures
            .iter()
            .zip(&binding.captures)
            .zip(&binding.template.variables)
        {
            query::put(&self.schema, &mut out, path, value).map_err(|reason| RequestError::Path {
                field: variable.field_path.clone(),
                reason,
            })?;
        }
        Ok(out)
    }

    fn shape(&self, id: MessageId) -> Shape {
        self.schema.messages[id].shape
    }

    /// An empty body says nothing, whatever its content type.
    fn body(
        &self,
        mut out: Vec<u8>,
        target: Target<'_>,
        id: MessageId,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<u8>, RequestError> {
        if matches!(target, Target::Content(id) if self.shape(id) == Shape::HttpBody) {
            // google.api.HttpBody: content_type 1, data 2.
            wire::put_bytes(&mut out, 1, content_type.unwrap_or_default().as_bytes());
            wire::put_bytes(&mut out, 2, body);
            return Ok(out);
        }
        if body.is_empty() {
            return Ok(out);
        }
        if let Some(found) = content_type.filter(|found| !is_json(found)) {
            return Err(RequestError::ContentType { found: shown(found) });
        }
        read::read(&self.schema, self.options.unknown, target, body, out).map_err(|misfit| {
            RequestError::Body {
                message: short(&self.schema.messages[id].name).to_owned(),
                reason: misfit.to_string(),
            }
        })
    }

    /// The body that one message of the answer becomes.
    ///
    /// # Errors
    /// The message is damaged or becomes too large.
    pub fn response(&self, route: &Route, message: &[u8]) -> Result<Payload, ResponseError> {
        let (content_type, bytes) = self.response_behind(Vec::new(), route, message)?;
        Ok(Payload { content_type, bytes })
    }

    pub(crate) fn is_http_body(&self, route: &Route) -> bool {
        self.http_body(self.binding(route)).is_some()
    }

    /// The message to look for an `HttpBody` in: the answer itself, or a field of it by number.
    fn http_body(&self, binding: &Binding) -> Option<Option<u32>> {
        match binding.response_field {
            None => (self.shape(binding.output) == Shape::HttpBody).then_some(None),
            Some(index) => {
                let field = &self.schema.messages[binding.output].fields[index];
                matches!(field.kind, Kind::Message(id) if self.shape(id) == Shape::HttpBody
                    && matches!(field.form, crate::schema::Form::One { .. }))
                .then_some(Some(field.number))
            }
        }
    }

    pub(crate) fn response_behind(
        &self,
        out: Vec<u8>,
        route: &Route,
        message: &[u8],
    ) -> Result<(HeaderValue, Vec<u8>), ResponseError> {
        let binding = self.binding(route);
        let output = &self.schema.messages[binding.output];
        let error = |reason: String| ResponseError::Message {
            message: output.name.to_string(),
            reason,
        };
        let damaged = |_| error("it is damaged".into());
        if let Some(field) = self.http_body(binding) {
            let inner = match field {
                None => message.to_vec(),
                Some(number) => all_bytes(message, number).map_err(damaged)?.concat(),
            };
            let content_type = all_bytes(&inner, 1)
                .map_err(damaged)?
                .pop()
                .filter(|text| !text.is_empty());
            let data = all_bytes(&inner, 2).map_err(damaged)?.pop().unwrap_or_default();
            let mut out = out;
            out.extend_from_slice(data);
            let content_type = content_type
                .and_then(|text| HeaderValue::from_bytes(text).ok())
                .unwrap_or(BYTES);
            return Ok((content_type, out));
        }
        let mut writer = Writer {
            schema: &self.schema,
            defaults: self.options.write_defaults,
            bytes_max: out.len().saturating_add(self.options.response_bytes_max),
            out,
        };
        match binding.response_field {
            None => writer.message(binding.output, message, 0),
            Some(index) => writer.field_alone(output, index, message),
        }
        .map_err(|reason| error(reason.to_string()))?;
        Ok((JSON, writer.out))
    }

    /// `google.rpc.Status` as JSON.
    #[must_use]
    pub fn error_body(&self, status: &GrpcStatus) -> Vec<u8> {
        status.write(&self.schema, self.options.response_bytes_max, Vec::new())
    }
}

fn short(full_name: &str) -> &str {
    full_name.rsplit('.').next().unwrap_or(full_name)
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    kind == "application/json"
        || kind == "text/json"
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}
