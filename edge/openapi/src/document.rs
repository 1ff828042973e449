//! The whole document: every annotated method of every service, in an order that depends on names alone.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    OPERATIONS_MAX,
    comments::Comments,
    error::GenerateError,
    nulls,
    operation::{Operation, Source, operation},
    rule::{Verb, bindings},
    schema::Schemas,
    settings::{Dialect, SecurityKind, SecurityScheme, Settings},
};

/// A path and the operations below it.
struct PathItem {
    path: String,
    /// The names of its parameters, in order: those of its first template.
    names: Vec<String>,
    operations: BTreeMap<Verb, (String, Value)>,
}

/// The OpenAPI document of all services of `pool` that have `google.api.http` annotations.
///
/// # Errors
/// An annotation does not fit its messages, two operations share a path, or a note is about nothing.
pub fn generate(pool: &DescriptorPool, settings: &Settings) -> Result<Value, GenerateError> {
    let comments = Comments::of(pool);
    let mut schemas = Schemas::new(settings, &comments);
    let mut services: Vec<ServiceDescriptor> = pool.services().collect();
    services.sort_by(|one, other| one.full_name().cmp(other.full_name()));
    let names = short_names(&services);

    let mut paths: BTreeMap<String, PathItem> = BTreeMap::new();
    let mut tags = Vec::new();
    let mut annotated = BTreeSet::new();
    let mut count = 0_usize;
    for service in &services {
        let name = &names[service.full_name()];
        let mut has_operations = false;
        for method in service.methods() {
            for (number, binding) in bindings(&method)?.iter().enumerate() {
                count += 1;
                if count > OPERATIONS_MAX {
                    return Err(GenerateError::TooMany {
                        what: "operations",
                        max: OPERATIONS_MAX,
                    });
                }
                has_operations = true;
                annotated.insert(method.full_name().to_owned());
                let source = Source {
                    method: &method,
                    binding,
                    operation_id: operation_id(name, &method, number),
                    tag: name.clone(),
                    settings,
                    comments: &comments,
                };
                let operation = operation(&source, &mut schemas)?;
                place(&mut paths, binding.verb, operation, method.full_name())?;
            }
        }
        if has_operations {
            let comment = comments.at(&service.parent_file(), service.path());
            tags.push(tag(name, comment));
        }
    }
    check_notes(pool, settings, &annotated)?;
    let websockets = websockets(pool, settings, &mut schemas)?;
    let paths: BTreeMap<String, Value> = paths.into_values().map(path_item).collect();

    let mut document = Map::new();
    document.insert("openapi".into(), json!(settings.dialect.version()));
    document.insert("info".into(), info(settings));
    if !settings.servers.is_empty() {
        let servers = settings.servers.iter().map(|url| json!({ "url": url }));
        document.insert("servers".into(), servers.collect());
    }
    if !tags.is_empty() {
        document.insert("tags".into(), Value::Array(tags));
    }
    document.insert("paths".into(), json!(paths));
    let components = components(settings, schemas)?;
    if !components.is_empty() {
        document.insert("components".into(), Value::Object(components));
    }
    if !websockets.is_empty() {
        document.insert("x-websockets".into(), Value::Array(websockets));
    }
    if settings.takes_null {
        nulls::allow_in_requests(&mut document, settings.dialect);
    }
    Ok(Value::Object(document))
}

/// As files keep it: two spaces, a line's end at the end.
///
/// # Errors
/// None is known: every document can be written.
pub fn to_json(document: &Value) -> Result<String, GenerateError> {
    let mut text =
        serde_json::to_string_pretty(document).map_err(|error| GenerateError::Write(error.to_string()))?;
    text.push('\n');
    Ok(text)
}

/// The same as YAML.
///
/// # Errors
/// None is known: every document can be written.
pub fn to_yaml(document: &Value) -> Result<String, GenerateError> {
    serde_saphyr::to_string(document).map_err(|error| GenerateError::Write(error.to_string()))
}

/// The last part of each service's full name, or all of it, with `_`, where two would be the same.
fn short_names(services: &[ServiceDescriptor]) -> BTreeMap<String, String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for service in services {
        *count.entry(service.name()).or_default() += 1;
    }
    let name = |service: &ServiceDescriptor| match count[service.name()] {
        1 => service.name().to_owned(),
        _ => service.full_name().replace('.', "_"),
    };
    services
        .iter()
        .map(|service| (service.full_name().to_owned(), name(service)))
        .collect()
}

/// `Service_Method`; further bindings are numbered from 2.
fn operation_id(service: &str, method: &MethodDescriptor, number: usize) -> String {
    match number {
        0 => format!("{service}_{}", method.name()),
        more => format!("{service}_{}_{}", method.name(), more + 1),
    }
}

fn tag(name: &str, comment: &str) -> Value {
    let mut tag = json!({ "name": name });
    if !comment.is_empty() {
        tag["description"] = json!(comment);
    }
    tag
}

fn place(
    paths: &mut BTreeMap<String, PathItem>,
    verb: Verb,
    mut operation: Operation,
    method: &str,
) -> Result<(), GenerateError> {
    let item = paths.entry(operation.path.shape()).or_insert_with(|| PathItem {
        path: operation.path.path(),
        names: operation.path.parameters().map(|one| one.name.clone()).collect(),
        operations: BTreeMap::new(),
    });
    if let Some((first, _)) = item.operations.get(&verb) {
        return Err(GenerateError::SamePath {
            verb: verb.key(),
            path: item.path.clone(),
            first: first.clone(),
            second: method.to_owned(),
        });
    }
    operation.path.rename(&item.names);
    item.operations
        .insert(verb, (method.to_owned(), operation.into_value()));
    Ok(())
}

fn path_item(item: PathItem) -> (String, Value) {
    let operations: Map<String, Value> = item
        .operations
        .into_iter()
        .map(|(verb, (_, operation))| (verb.key().to_owned(), operation))
        .collect();
    (item.path, Value::Object(operations))
}

/// A note about what is not there says that the contract has changed and the notes have not.
fn check_notes(
    pool: &DescriptorPool,
    settings: &Settings,
    annotated: &BTreeSet<String>,
) -> Result<(), GenerateError> {
    for name in settings.fields.keys() {
        let field = name
            .rsplit_once('.')
            .and_then(|(message, field)| pool.get_message_by_name(message)?.get_field_by_name(field));
        if field.is_none() {
            return Err(GenerateError::UnknownField { field: name.clone() });
        }
    }
    for (method, notes) in &settings.operations {
        if !annotated.contains(method) {
            return Err(GenerateError::UnknownMethod {
                method: method.clone(),
            });
        }
        let described = |name: &&String| settings.security_schemes.iter().any(|one| one.name == **name);
        if let Some(name) = notes.security.iter().find(|name| !described(name)) {
            return Err(GenerateError::UnknownSecurityScheme {
                method: method.clone(),
                name: name.clone(),
            });
        }
    }
    Ok(())
}

fn info(settings: &Settings) -> Value {
    let mut info = json!({ "title": settings.title, "version": settings.version });
    if !settings.description.is_empty() {
        info["description"] = json!(settings.description);
    }
    if let Some(license) = &settings.license {
        info["license"] = match settings.dialect {
            Dialect::V3_0 => json!({ "name": license.name }),
            Dialect::V3_1 => json!({ "name": license.name, "identifier": license.spdx }),
        };
    }
    info
}

fn components(settings: &Settings, schemas: Schemas<'_>) -> Result<Map<String, Value>, GenerateError> {
    let mut components = Map::new();
    let schemas = schemas.finish()?;
    if !schemas.is_empty() {
        components.insert("schemas".into(), Value::Object(schemas));
    }
    let headers: Map<String, Value> = settings
        .response_headers
        .iter()
        .map(|header| {
            let told = json!({ "description": header.description, "schema": { "type": "string" } });
            (header.name.clone(), told)
        })
        .collect();
    if !headers.is_empty() {
        components.insert("headers".into(), Value::Object(headers));
    }
    let schemes: Map<String, Value> = settings.security_schemes.iter().map(security_scheme).collect();
    if !schemes.is_empty() {
        components.insert("securitySchemes".into(), Value::Object(schemes));
    }
    Ok(components)
}

fn security_scheme(scheme: &SecurityScheme) -> (String, Value) {
    let mut value = match &scheme.kind {
        SecurityKind::Bearer { format } => {
            json!({ "type": "http", "scheme": "bearer", "bearerFormat": format })
        }
        SecurityKind::Header { name } => json!({ "type": "apiKey", "in": "header", "name": name }),
        SecurityKind::Cookie { name } => json!({ "type": "apiKey", "in": "cookie", "name": name }),
    };
    if !scheme.description.is_empty() {
        value["description"] = json!(scheme.description);
    }
    (scheme.name.clone(), value)
}

fn websockets(
    pool: &DescriptorPool,
    settings: &Settings,
    schemas: &mut Schemas<'_>,
) -> Result<Vec<Value>, GenerateError> {
    let mut told = Vec::new();
    for socket in &settings.websockets {
        let mut message = |name: &String| match pool.get_message_by_name(name) {
            Some(message) => Ok(schemas.message(&message)),
            None => Err(GenerateError::UnknownMessage {
                path: socket.path.clone(),
                name: name.clone(),
            }),
        };
        told.push(json!({
            "path": socket.path,
            "description": socket.description,
            "subprotocols": socket.subprotocols,
            "clientMessage": message(&socket.client_message)?,
            "serverMessage": message(&socket.server_message)?,
        }));
    }
    Ok(told)
}
