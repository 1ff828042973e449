//! One operation: a method called in one of the ways that its annotation names.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{FieldDescriptor, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    comments::{Comments, first_sentence},
    error::GenerateError,
    parameters::{self, OpenApiPath},
    rule::{Binding, BodyRule},
    schema::Schemas,
    settings::{ErrorAnswer, Header, OperationNotes, Settings, code_name},
    well_known,
};

/// What an operation is made from.
pub struct Source<'a> {
    pub method: &'a MethodDescriptor,
    pub binding: &'a Binding,
    pub operation_id: String,
    pub tag: String,
    pub settings: &'a Settings,
    pub comments: &'a Comments,
}

/// Its path with its own names for parameters, and all of it but the path's parameters.
pub struct Operation {
    pub path: OpenApiPath,
    pub query: Vec<Value>,
    head: Map<String, Value>,
    tail: Map<String, Value>,
}

impl Operation {
    /// `path` may have been renamed meanwhile.
    pub fn into_value(self) -> Value {
        let mut value = self.head;
        let mut parameters: Vec<Value> = self.path.parameters().map(|one| one.to_value()).collect();
        parameters.extend(self.query);
        if !parameters.is_empty() {
            value.insert("parameters".into(), Value::Array(parameters));
        }
        value.extend(self.tail);
        Value::Object(value)
    }
}

pub fn operation(source: &Source<'_>, schemas: &mut Schemas<'_>) -> Result<Operation, GenerateError> {
    let method = source.method.full_name();
    let nothing = OperationNotes::default();
    let notes = source.settings.operations.get(method).unwrap_or(&nothing);
    let input = source.method.input();
    let example = notes.request_example.as_ref();
    let (path, bound) = parameters::path(method, &input, &source.binding.template, example, schemas)?;
    let body_field = match &source.binding.body {
        BodyRule::Field(name) => Some(single_field(method, &input, name, "body")?),
        _ => None,
    };
    let query = match source.binding.body {
        BodyRule::Whole => Vec::new(),
        _ => parameters::query(method, &input, &bound, body_field.as_ref(), example, schemas)?,
    };
    let mut tail = Map::new();
    if let Some(body) = request_body(source, &input, body_field.as_ref(), &bound, example, schemas) {
        tail.insert("requestBody".into(), body);
    }
    tail.insert("responses".into(), responses(source, notes, schemas)?);
    if !source.settings.security_schemes.is_empty() {
        let any_of = notes.security.iter().map(|name| json!({ name.as_str(): [] }));
        tail.insert("security".into(), any_of.collect());
    }
    Ok(Operation {
        path,
        query,
        head: head(source),
        tail,
    })
}

fn head(source: &Source<'_>) -> Map<String, Value> {
    let method = source.method;
    let comment = source.comments.at(&method.parent_file(), method.path());
    let mut head = Map::new();
    head.insert("tags".into(), json!([source.tag]));
    let summary = first_sentence(comment);
    if !summary.is_empty() {
        head.insert("summary".into(), json!(summary));
    }
    let flat = comment.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.trim_end_matches('.') != summary {
        head.insert("description".into(), json!(comment));
    }
    head.insert("operationId".into(), json!(source.operation_id));
    let options = &method.method_descriptor_proto().options;
    if options.as_ref().is_some_and(|options| options.deprecated()) {
        head.insert("deprecated".into(), json!(true));
    }
    head
}

fn single_field(
    method: &str,
    message: &MessageDescriptor,
    name: &str,
    place: &'static str,
) -> Result<FieldDescriptor, GenerateError> {
    let path: Vec<String> = name.split('.').map(str::to_owned).collect();
    let missing = || GenerateError::NoSuchField {
        method: method.to_owned(),
        message: message.full_name().to_owned(),
        path: name.to_owned(),
        place,
    };
    let mut fields = parameters::find_field(method, message, &path, place)?;
    match (fields.pop(), fields.is_empty()) {
        (Some(field), true) => Ok(field),
        // Only a field of the message itself can be the body.
        _ => Err(missing()),
    }
}

fn request_body(
    source: &Source<'_>,
    input: &MessageDescriptor,
    body_field: Option<&FieldDescriptor>,
    bound: &[Vec<FieldDescriptor>],
    example: Option<&Value>,
    schemas: &mut Schemas<'_>,
) -> Option<Value> {
    let mut required = false;
    let (schema, example, kind) = match (&source.binding.body, body_field) {
        (BodyRule::None, _) => return None,
        (BodyRule::Field(_), Some(field)) => {
            let is_bytes = matches!(field.kind(), prost_reflect::Kind::Message(message)
                if message.full_name() == well_known::HTTP_BODY);
            required = schemas.is_required(field);
            let example = example
                .and_then(|example| example.get(field.json_name()))
                .cloned();
            let kind = if is_bytes { "*/*" } else { "application/json" };
            (schemas.field_type(field), example, kind)
        }
        _ if input.full_name() == well_known::HTTP_BODY => (schemas.message(input), example.cloned(), "*/*"),
        _ => {
            // What the path says is not said again.
            let in_path: BTreeSet<u32> = bound
                .iter()
                .filter(|fields| fields.len() == 1)
                .map(|fields| fields[0].number())
                .collect();
            let still_required =
                |field: &FieldDescriptor| !in_path.contains(&field.number()) && schemas.is_required(field);
            required = input.fields().any(|field| still_required(&field));
            let example = example.cloned().map(|mut example| {
                for fields in bound.iter().filter(|fields| fields.len() == 1) {
                    if let Some(object) = example.as_object_mut() {
                        object.shift_remove(fields[0].json_name());
                    }
                }
                example
            });
            let schema = if in_path.is_empty() {
                schemas.message(input)
            } else {
                schemas.object(input, &in_path)
            };
            (schema, example, "application/json")
        }
    };
    let mut content = json!({ "schema": schema });
    if let Some(example) = example {
        content["example"] = example;
    }
    let mut body = json!({ "content": { kind: content } });
    if required {
        body["required"] = json!(true);
    }
    Some(body)
}

fn responses(
    source: &Source<'_>,
    notes: &OperationNotes,
    schemas: &mut Schemas<'_>,
) -> Result<Value, GenerateError> {
    let headers = header_references(&source.settings.response_headers);
    let mut responses = Map::new();
    responses.insert("200".into(), good_response(source, notes, &headers, schemas)?);
    let mut by_status: BTreeMap<u16, Vec<&ErrorAnswer>> = BTreeMap::new();
    for error in notes.errors.iter().chain(&source.settings.errors) {
        if !(400..=599).contains(&error.status) {
            return Err(GenerateError::NotAnError {
                method: source.method.full_name().to_owned(),
                status: error.status,
            });
        }
        by_status.entry(error.status).or_default().push(error);
    }
    for (status, errors) in by_status {
        responses.insert(
            status.to_string(),
            error_response(&errors, headers.clone(), schemas),
        );
    }
    Ok(Value::Object(responses))
}

fn header_references(headers: &[Header]) -> Map<String, Value> {
    headers
        .iter()
        .map(|header| {
            let reference = json!({ "$ref": format!("#/components/headers/{}", header.name) });
            (header.name.clone(), reference)
        })
        .collect()
}

fn good_response(
    source: &Source<'_>,
    notes: &OperationNotes,
    headers: &Map<String, Value>,
    schemas: &mut Schemas<'_>,
) -> Result<Value, GenerateError> {
    let output = source.method.output();
    let mut example = notes.response_example.clone();
    let (schema, comment) = match &source.binding.response_body {
        Some(name) => {
            let field = single_field(source.method.full_name(), &output, name, "response_body")?;
            example = example.and_then(|example| example.get(field.json_name()).cloned());
            (schemas.field_type(&field), schemas.field_comment(&field))
        }
        None => (schemas.message(&output), schemas.comment(&output)),
    };
    let summary = first_sentence(comment);
    let mut content = json!({ "schema": schema });
    let content = if output.full_name() == well_known::HTTP_BODY && source.binding.response_body.is_none() {
        json!({ "*/*": content })
    } else if source.method.is_server_streaming() {
        // One message a line, or all of them in a list, as the caller accepts.
        let list = json!({ "schema": { "type": "array", "items": content["schema"] } });
        json!({ "application/x-ndjson": content, "application/json": list })
    } else {
        if let Some(example) = example {
            content["example"] = example;
        }
        json!({ "application/json": content })
    };
    // A response without a description is no response.
    let mut response = json!({ "description": if summary.is_empty() { "OK" } else { summary.as_str() } });
    if !headers.is_empty() {
        response["headers"] = Value::Object(headers.clone());
    }
    response["content"] = content;
    Ok(response)
}

fn error_response(
    errors: &[&ErrorAnswer],
    mut headers: Map<String, Value>,
    schemas: &mut Schemas<'_>,
) -> Value {
    let mut reasons: Vec<String> = Vec::new();
    let mut examples = Map::new();
    for error in errors {
        let name = code_name(error.code);
        let reason = format!("`{name}`: {}", error.when);
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
        if let Some(header) = &error.header {
            let told = json!({ "description": header.description, "schema": { "type": "string" } });
            headers.insert(header.name.clone(), told);
        }
        let mut key = name.to_owned();
        let mut number = 1;
        while examples.contains_key(&key) {
            number += 1;
            key = format!("{name}_{number}");
        }
        let value = json!({ "code": error.code, "message": error.message, "details": [] });
        examples.insert(key, json!({ "summary": error.when, "value": value }));
    }
    let mut response = json!({ "description": reasons.join("\n\n") });
    if !headers.is_empty() {
        response["headers"] = Value::Object(headers);
    }
    response["content"] = json!({ "application/json": { "schema": schemas.status(), "examples": examples } });
    response
}
