//! Query parameters and captured segments to fields (google/api/http.proto, "Rules for HTTP mapping": the leaf fields
//! that neither the path nor the body covers).

use std::collections::BTreeSet;

use crate::error::RequestError;
use crate::path;
use crate::rules::{self, Binding, Body, FieldPath};
use crate::scalar::{self, Scalar, shown};
use crate::schema::{Form, Kind, MessageId, Schema};
use crate::transcoder::Unknown;
use crate::wire;

/// More parameters than this are no query that anybody means.
const PARAMETERS_MAX: usize = 1_000;

/// Writes a value to the field at the end of a path, each message on the way around it. Messages that come in parts are
/// merged by whoever reads them.
pub(crate) fn put(schema: &Schema, out: &mut Vec<u8>, path: &FieldPath, text: &str) -> Result<(), String> {
    let mut open = Vec::with_capacity(path.0.len());
    for &(message, index) in &path.0[..path.0.len() - 1] {
        open.push(wire::begin(out, schema.messages[message].fields[index].number));
    }
    let field = rules::leaf(schema, path);
    scalar::put(schema, out, field.number, field.kind, Scalar::Bare(text), true)?;
    for start in open.into_iter().rev() {
        wire::end(out, start);
    }
    Ok(())
}

pub(crate) fn read(
    schema: &Schema,
    unknown: Unknown,
    binding: &Binding,
    query: &str,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let mut once: BTreeSet<Vec<(MessageId, usize)>> = BTreeSet::new();
    let mut oneofs: BTreeSet<(Vec<(MessageId, usize)>, usize)> = BTreeSet::new();
    for (count, parameter) in query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .enumerate()
    {
        if count >= PARAMETERS_MAX {
            return Err(RequestError::Query {
                name: "…".into(),
                reason: format!("there are more than {PARAMETERS_MAX} parameters"),
            });
        }
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let error = |reason: String| RequestError::Query {
            name: shown(name),
            reason,
        };
        let decoded = path::decode_query(name).map_err(|reason| error(reason.to_string()))?;
        let field_path = match field(schema, binding, &decoded) {
            Ok(path) => path,
            Err(Reason::Unknown(reason)) if unknown == Unknown::Reject => return Err(error(reason)),
            Err(Reason::Unknown(_)) => continue,
            Err(Reason::Unfit(reason)) => return Err(error(reason)),
        };
        let leaf = rules::leaf(schema, &field_path);
        let is_one = matches!(leaf.form, Form::One { .. });
        if is_one && !once.insert(field_path.0.clone()) {
            return Err(error("it is given twice".into()));
        }
        if let Some(oneof) = leaf.oneof
            && !oneofs.insert((field_path.0[..field_path.0.len() - 1].to_vec(), oneof))
        {
            return Err(error("it and another parameter exclude each other".into()));
        }
        let value = path::decode_query(value).map_err(|reason| error(reason.to_string()))?;
        put(schema, out, &field_path, &value).map_err(error)?;
    }
    Ok(())
}

enum Reason {
    /// No field that a query may give has this name.
    Unknown(String),
    /// The field is there and cannot be given as text.
    Unfit(String),
}

fn field(schema: &Schema, binding: &Binding, name: &str) -> Result<FieldPath, Reason> {
    if binding.body == Body::All {
        return Err(Reason::Unknown("the body holds all fields".into()));
    }
    let input = &schema.messages[binding.input];
    let first = name.split('.').next().unwrap_or_default();
    let is_known = input.index_named(first).is_some();
    let path = rules::field_path(schema, binding.input, name).map_err(|reason| {
        if is_known && is_whole(schema, binding.input, name) {
            Reason::Unfit(reason)
        } else {
            Reason::Unknown(reason)
        }
    })?;
    if binding.body == Body::Field(path.0[0].1) {
        return Err(Reason::Unknown("the body holds this field".into()));
    }
    if binding.captures.contains(&path) {
        return Err(Reason::Unknown("the path holds this field".into()));
    }
    Ok(path)
}

/// Whether every part of the name is a field, whatever its kind.
fn is_whole(schema: &Schema, input: MessageId, name: &str) -> bool {
    let mut message = Some(input);
    name.split('.').all(|part| {
        let field = message.and_then(|id| schema.messages[id].field_named(part));
        message = match field.map(|field| field.kind) {
            Some(Kind::Message(id)) => Some(id),
            _ => None,
        };
        field.is_some()
    })
}
