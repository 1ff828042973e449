//! The document: its operations, with what each takes and may answer.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::SpecError;
use crate::limits::{DOCUMENT_BYTES_MAX, OPERATIONS_MAX};
use crate::schema;

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub name: String,
    pub place: Place,
    pub required: bool,
    pub schema: Value,
    /// One that the document shows.
    pub example: Option<Value>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    pub required: bool,
    pub content_type: String,
    pub schema: Value,
    pub example: Option<Value>,
}

/// What may be answered with one status.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Response {
    /// Schemas by media type, lower case, without parameters.
    pub content: BTreeMap<String, Option<Value>>,
    /// Names of headers that must be there, lower case.
    pub headers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// `operationId`, or method and path where there is none.
    pub id: String,
    /// Upper case.
    pub method: String,
    /// As the document writes it, with `{parameters}`.
    pub path: String,
    pub parameters: Vec<Parameter>,
    pub body: Option<Body>,
    /// Whether some credential is needed.
    pub secured: bool,
    /// By status: `200`, `4XX`, `default`.
    pub(crate) responses: BTreeMap<String, Response>,
}

impl Operation {
    /// The statuses that are declared, as the document writes them.
    pub fn statuses(&self) -> impl Iterator<Item = &str> {
        self.responses.keys().map(String::as_str)
    }
}

/// A document that can be checked against.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    pub title: String,
    pub version: String,
    /// The path of the first server's URL, without a slash at its end.
    pub base_path: String,
    pub operations: Vec<Operation>,
    /// The whole document, its schemas in the newer dialect.
    pub(crate) root: Value,
}

impl Spec {
    /// Reads an OpenAPI 3.0 or 3.1 document, JSON or YAML, whole in one file.
    ///
    /// # Errors
    /// It cannot be read, is of another kind, or refers to what is not in it.
    pub fn read(text: &str) -> Result<Self, SpecError> {
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(SpecError::TooLarge {
                bytes: text.len(),
                max: DOCUMENT_BYTES_MAX,
            });
        }
        let mut root: Value = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| SpecError::Unreadable {
                why: error.to_string(),
            })?
        } else {
            serde_saphyr::from_str(text).map_err(|error| SpecError::Unreadable {
                why: error.to_string(),
            })?
        };
        let dialect = root
            .get("openapi")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !dialect.starts_with("3.0.") && !dialect.starts_with("3.1.") {
            return Err(SpecError::at(
                "/openapi",
                format!("is `{dialect}`; documents of OpenAPI 3.0 and 3.1 can be checked"),
            ));
        }
        if dialect.starts_with("3.0.") {
            modernise(&mut root);
        }
        let text_at = |pointer: &str| {
            root.pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let mut spec = Self {
            title: text_at("/info/title"),
            version: text_at("/info/version"),
            base_path: base_path(&text_at("/servers/0/url")),
            operations: Vec::new(),
            root: Value::Null,
        };
        spec.operations = operations(&root)?;
        spec.root = root;
        Ok(spec)
    }

    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.id == id)
    }
}

/// Schemas stand in few places of a document; only those change.
fn modernise(root: &mut Value) {
    if let Some(Value::Object(schemas)) = root.pointer_mut("/components/schemas") {
        schemas.values_mut().for_each(|it| schema::modernise(it, 0));
    }
    in_place(root, 0);
}

/// Every `schema` of parameters, headers, media types.
fn in_place(value: &mut Value, depth: usize) {
    if depth > 24 {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "schema" => schema::modernise(field, 0),
                    "schemas" | "example" | "examples" | "default" | "enum" => {}
                    _ => in_place(field, depth + 1),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| in_place(item, depth + 1)),
        _ => {}
    }
}

fn base_path(url: &str) -> String {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url,
    };
    path.trim_end_matches('/').to_owned()
}

fn operations(root: &Value) -> Result<Vec<Operation>, SpecError> {
    let paths = root
        .get("paths")
        .and_then(Value::as_object)
        .ok_or_else(|| SpecError::at("/paths", "is missing: there is nothing to check"))?;
    let mut operations = Vec::new();
    for (path, item) in paths {
        let pointer = format!("/paths/{}", path.replace('~', "~0").replace('/', "~1"));
        let item = schema::resolve(root, item)?;
        for method in METHODS {
            let Some(operation) = item.get(method) else {
                continue;
            };
            if operations.len() >= OPERATIONS_MAX {
                return Err(SpecError::at(
                    "/paths",
                    format!("has more than {OPERATIONS_MAX} operations"),
                ));
            }
            operations.push(read_operation(
                root,
                path,
                method,
                item,
                operation,
                &format!("{pointer}/{method}"),
            )?);
        }
    }
    Ok(operations)
}

fn read_operation(
    root: &Value,
    path: &str,
    method: &str,
    item: &Value,
    operation: &Value,
    pointer: &str,
) -> Result<Operation, SpecError> {
    // The operation's own parameters win over the path's.
    let mut parameters: BTreeMap<(Place, String), Parameter> = BTreeMap::new();
    for list in [item.get("parameters"), operation.get("parameters")] {
        for parameter in list.and_then(Value::as_array).into_iter().flatten() {
            let parameter = read_parameter(schema::resolve(root, parameter)?, pointer)?;
            parameters.insert((parameter.place, parameter.name.clone()), parameter);
        }
    }
    let mut responses = BTreeMap::new();
    let declared = operation
        .get("responses")
        .and_then(Value::as_object)
        .ok_or_else(|| SpecError::at(pointer, "declares no responses"))?;
    for (status, response) in declared {
        let is_status = status == "default"
            || (status.len() == 3
                && matches!(status.as_bytes()[0], b'1'..=b'5')
                && (status[1..].eq_ignore_ascii_case("xx") || status.bytes().all(|b| b.is_ascii_digit())));
        if status.starts_with("x-") {
            continue;
        }
        if !is_status {
            return Err(SpecError::at(
                format!("{pointer}/responses"),
                format!("`{status}` is no status"),
            ));
        }
        responses.insert(
            status.to_ascii_uppercase().replace("DEFAULT", "default"),
            read_response(schema::resolve(root, response)?),
        );
    }
    let body = match operation.get("requestBody") {
        None => None,
        Some(body) => read_body(schema::resolve(root, body)?),
    };
    let security = operation.get("security").or_else(|| root.get("security"));
    let alternatives = security.and_then(Value::as_array);
    let secured = alternatives.is_some_and(|list| {
        !list.is_empty()
            && list
                .iter()
                .all(|needed| needed.as_object().is_some_and(|it| !it.is_empty()))
    });
    let method = method.to_ascii_uppercase();
    Ok(Operation {
        id: operation
            .get("operationId")
            .and_then(Value::as_str)
            .map_or_else(|| format!("{method} {path}"), str::to_owned),
        method,
        path: path.to_owned(),
        parameters: parameters.into_values().collect(),
        body,
        secured,
        responses,
    })
}

fn read_parameter(parameter: &Value, pointer: &str) -> Result<Parameter, SpecError> {
    let text = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default();
    let place = match text("in") {
        "path" => Place::Path,
        "query" => Place::Query,
        "header" => Place::Header,
        "cookie" => Place::Cookie,
        other => return Err(SpecError::at(pointer, format!("has a parameter in `{other}`"))),
    };
    let first_content = || {
        parameter
            .get("content")?
            .as_object()?
            .values()
            .next()?
            .get("schema")
    };
    Ok(Parameter {
        name: text("name").to_owned(),
        place,
        required: place == Place::Path || parameter.get("required") == Some(&Value::Bool(true)),
        schema: parameter
            .get("schema")
            .or_else(first_content)
            .cloned()
            .unwrap_or(Value::Bool(true)),
        example: example(parameter),
    })
}

fn example(of: &Value) -> Option<Value> {
    let first = || of.get("examples")?.as_object()?.values().next()?.get("value");
    of.get("example").or_else(first).cloned()
}

fn read_body(body: &Value) -> Option<Body> {
    let content = body.get("content")?.as_object()?;
    // JSON where there is a choice: it can be made from a schema.
    let (content_type, media) = content
        .iter()
        .find(|(name, _)| is_json(name))
        .or_else(|| content.iter().next())?;
    Some(Body {
        required: body.get("required") == Some(&Value::Bool(true)),
        content_type: content_type.clone(),
        schema: media.get("schema").cloned().unwrap_or(Value::Bool(true)),
        example: example(media),
    })
}

pub(crate) fn is_json(media_type: &str) -> bool {
    let essence = essence(media_type);
    essence == "application/json" || essence.ends_with("+json")
}

/// A media type without its parameters, lower case.
pub(crate) fn essence(media_type: &str) -> String {
    media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn read_response(response: &Value) -> Response {
    let mut content = BTreeMap::new();
    for (name, media) in response
        .get("content")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        content.insert(essence(name), media.get("schema").cloned());
    }
    let headers = response
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    Response {
        content,
        headers: headers
            .filter(|(_, header)| header.get("required") == Some(&Value::Bool(true)))
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect(),
    }
}
