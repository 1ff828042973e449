//! Parameters of an operation: what the path names, and what neither path nor body has taken.

use std::collections::BTreeSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use crate::{
    QUERY_DEPTH_MAX, QUERY_PARAMETERS_MAX,
    error::GenerateError,
    schema::{Schemas, is_deprecated},
    template::{Part, Template},
    well_known,
};

/// A path as OpenAPI writes it, with a parameter for each wildcard.
#[derive(Debug)]
pub struct OpenApiPath {
    pub pieces: Vec<Piece>,
    pub verb: Option<String>,
}

#[derive(Debug, Clone)]
pub enum Piece {
    Literal(String),
    Parameter(Parameter),
}

#[derive(Debug, Clone)]
pub struct Parameter {
    pub name: String,
    schema: Value,
    description: String,
    example: Option<Value>,
}

impl OpenApiPath {
    /// With these names instead of its own, in order; two templates that differ in names alone are one path.
    pub fn rename(&mut self, names: &[String]) {
        let parameters = self.pieces.iter_mut().filter_map(|piece| match piece {
            Piece::Parameter(parameter) => Some(parameter),
            Piece::Literal(_) => None,
        });
        for (parameter, name) in parameters.zip(names) {
            parameter.name.clone_from(name);
        }
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Parameter(parameter) => Some(parameter),
            Piece::Literal(_) => None,
        })
    }

    fn text(&self, name: impl Fn(&Parameter) -> String) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            text.push('/');
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Parameter(parameter) => text.push_str(&name(parameter)),
            }
        }
        if text.is_empty() {
            text.push('/');
        }
        if let Some(verb) = &self.verb {
            text.push(':');
            text.push_str(verb);
        }
        text
    }

    /// What makes two paths the same to OpenAPI.
    pub fn shape(&self) -> String {
        self.text(|_| "{}".to_owned())
    }

    pub fn path(&self) -> String {
        self.text(|parameter| format!("{{{}}}", parameter.name))
    }
}

impl Parameter {
    pub fn to_value(&self) -> Value {
        let mut value = json!({ "name": self.name, "in": "path", "required": true });
        if !self.description.is_empty() {
            value["description"] = json!(self.description);
        }
        value["schema"] = self.schema.clone();
        if let Some(example) = &self.example {
            value["example"] = example.clone();
        }
        value
    }
}

/// Follows names of fields from a message, as the `.proto` spells them.
pub fn find_field(
    method: &str,
    input: &MessageDescriptor,
    path: &[String],
    place: &'static str,
) -> Result<Vec<FieldDescriptor>, GenerateError> {
    let missing = || GenerateError::NoSuchField {
        method: method.to_owned(),
        message: input.full_name().to_owned(),
        path: path.join("."),
        place,
    };
    let mut found: Vec<FieldDescriptor> = Vec::new();
    for name in path {
        let message = match found.last() {
            None => input.clone(),
            Some(field) if field.is_list() || field.is_map() => return Err(missing()),
            Some(field) => match field.kind() {
                Kind::Message(message) => message,
                _ => return Err(missing()),
            },
        };
        found.push(message.get_field_by_name(name).ok_or_else(missing)?);
    }
    Ok(found)
}

pub fn json_path(fields: &[FieldDescriptor]) -> String {
    let names: Vec<&str> = fields.iter().map(FieldDescriptor::json_name).collect();
    names.join(".")
}

/// Whether the field's JSON form is a single value.
fn is_one_value(field: &FieldDescriptor) -> bool {
    !field.is_list()
        && !field.is_map()
        && match field.kind() {
            Kind::Message(message) => well_known::is_one_value(message.full_name()),
            _ => true,
        }
}

/// The path of a template and the fields that it binds.
pub fn path(
    method: &str,
    input: &MessageDescriptor,
    template: &Template,
    example: Option<&Value>,
    schemas: &mut Schemas<'_>,
) -> Result<(OpenApiPath, Vec<Vec<FieldDescriptor>>), GenerateError> {
    let mut bound: Vec<Vec<FieldDescriptor>> = Vec::new();
    for variable in &template.variables {
        let fields = find_field(method, input, &variable.field_path, "path")?;
        let path = || variable.to_string();
        if !fields.last().is_some_and(is_one_value) {
            return Err(GenerateError::NotOneValue {
                method: method.to_owned(),
                path: path(),
            });
        }
        if bound.iter().any(|other| json_path(other) == json_path(&fields)) {
            return Err(GenerateError::BoundTwice {
                method: method.to_owned(),
                path: path(),
            });
        }
        bound.push(fields);
    }
    let mut taken = BTreeSet::new();
    let mut pieces = Vec::new();
    for (at, part) in template.parts.iter().enumerate() {
        let (of, rest) = match part {
            Part::Literal { text, .. } => {
                pieces.push(Piece::Literal(text.clone()));
                continue;
            }
            Part::Single { of } => (*of, false),
            Part::Rest { of } => (*of, true),
        };
        let parameter = wildcard(template, at, of, rest, &bound, example, schemas);
        pieces.push(Piece::Parameter(unique(parameter, &mut taken)));
    }
    let verb = template.verb.clone();
    Ok((OpenApiPath { pieces, verb }, bound))
}

fn unique(mut parameter: Parameter, taken: &mut BTreeSet<String>) -> Parameter {
    while !taken.insert(parameter.name.clone()) {
        parameter.name.push('_');
    }
    parameter
}

/// The parameter of the wildcard that is part number `at`.
fn wildcard(
    template: &Template,
    at: usize,
    of: Option<usize>,
    rest: bool,
    bound: &[Vec<FieldDescriptor>],
    example: Option<&Value>,
    schemas: &mut Schemas<'_>,
) -> Parameter {
    let is_wild = |part: &&Part| matches!(part, Part::Single { of: o } | Part::Rest { of: o } if *o == of);
    let number = template.parts[..at].iter().filter(is_wild).count() + 1;
    let among = template.parts.iter().filter(is_wild).count();
    let anything = if rest {
        json!({ "type": "string" })
    } else {
        json!({ "type": "string", "minLength": 1 })
    };
    let rest_note = "The rest of the path; slashes in it are not escaped.";
    let Some((variable, fields)) = of.and_then(|of| Some((&template.variables[of], bound.get(of)?))) else {
        return Parameter {
            name: format!("segment{number}"),
            schema: anything,
            description: if rest { rest_note } else { "Anything." }.to_owned(),
            example: None,
        };
    };
    let name = json_path(fields);
    let comment = fields.last().map_or("", |field| schemas.field_comment(field));
    let whole = variable.pattern == "*";
    let mut notes = vec![comment.to_owned()];
    if !whole {
        notes.push(format!("Part of `{name}`, which is `{}`.", variable.pattern));
    }
    if rest {
        notes.push(rest_note.to_owned());
    }
    notes.retain(|note| !note.is_empty());
    let mut schema = match fields.last() {
        Some(field) if whole => schemas.field_type(field),
        _ => anything,
    };
    let is_text = matches!(fields.last().map(FieldDescriptor::kind), Some(Kind::String));
    if is_text && !rest && schema.get("minLength").is_none() {
        // A segment of a path is never empty.
        schema["minLength"] = json!(1);
    }
    Parameter {
        name: if among == 1 {
            name
        } else {
            format!("{name}{number}")
        },
        schema,
        description: notes.join("\n\n"),
        example: whole.then(|| at_path(example?, fields)).flatten(),
    }
}

fn at_path(example: &Value, fields: &[FieldDescriptor]) -> Option<Value> {
    fields
        .iter()
        .try_fold(example, |value, field| value.get(field.json_name()))
        .cloned()
}

/// A message whose fields are looked at, and what leads there.
struct Level {
    message: MessageDescriptor,
    fields: Vec<FieldDescriptor>,
}

/// Query parameters for the leaf fields that neither the path nor the body has taken: scalars, enums,
/// lists of these, and fields of messages by dotted names. Maps and lists of messages cannot be asked
/// for in a query (`google/api/http.proto`), and a message inside itself is looked into once.
pub fn query(
    method: &str,
    input: &MessageDescriptor,
    bound: &[Vec<FieldDescriptor>],
    body_field: Option<&FieldDescriptor>,
    example: Option<&Value>,
    schemas: &mut Schemas<'_>,
) -> Result<Vec<Value>, GenerateError> {
    let taken: BTreeSet<String> = bound.iter().map(|fields| json_path(fields)).collect();
    let mut parameters = Vec::new();
    // What comes first lies on top.
    let mut waiting: Vec<Vec<FieldDescriptor>> = Vec::new();
    let mut level = Some(Level {
        message: input.clone(),
        fields: Vec::new(),
    });
    let mut looked_into = 0;
    loop {
        if let Some(Level { message, fields }) = level.take() {
            looked_into += 1;
            // Messages of messages of nothing are many without being parameters.
            if looked_into > QUERY_PARAMETERS_MAX {
                return Err(too_many(method));
            }
            let mut inner: Vec<_> = message
                .fields()
                .filter(|field| !(fields.is_empty() && Some(field) == body_field))
                .map(|field| {
                    let mut path = fields.clone();
                    path.push(field);
                    path
                })
                .collect();
            inner.reverse();
            waiting.append(&mut inner);
        }
        let Some(fields) = waiting.pop() else { break };
        let Some(field) = fields.last() else { continue };
        if taken.contains(&json_path(&fields)) || field.is_map() {
            continue;
        }
        match field.kind() {
            Kind::Message(message) if !well_known::is_one_value(message.full_name()) => {
                let own_form = well_known::schema(message.full_name(), schemas.dialect).is_some();
                let again = message == *input
                    || fields[..fields.len() - 1]
                        .iter()
                        .any(|field| matches!(field.kind(), Kind::Message(outer) if outer == message));
                if !field.is_list() && !own_form && !again && fields.len() < QUERY_DEPTH_MAX {
                    level = Some(Level { message, fields });
                }
            }
            _ => {
                if parameters.len() >= QUERY_PARAMETERS_MAX {
                    return Err(too_many(method));
                }
                let example = example.and_then(|example| at_path(example, &fields));
                parameters.push(query_parameter(&fields, field, example, schemas));
            }
        }
    }
    Ok(parameters)
}

fn too_many(method: &str) -> GenerateError {
    GenerateError::TooManyParameters {
        method: method.to_owned(),
        max: QUERY_PARAMETERS_MAX,
    }
}

fn query_parameter(
    fields: &[FieldDescriptor],
    field: &FieldDescriptor,
    example: Option<Value>,
    schemas: &mut Schemas<'_>,
) -> Value {
    let mut parameter = Map::new();
    parameter.insert("name".into(), json!(json_path(fields)));
    parameter.insert("in".into(), json!("query"));
    let comment = schemas.field_comment(field);
    if !comment.is_empty() {
        parameter.insert("description".into(), json!(comment));
    }
    if fields.len() == 1 && schemas.is_required(field) {
        parameter.insert("required".into(), json!(true));
    }
    if is_deprecated(field) {
        parameter.insert("deprecated".into(), json!(true));
    }
    parameter.insert("schema".into(), schemas.field_type(field));
    if let Some(example) = example {
        parameter.insert("example".into(), example);
    }
    Value::Object(parameter)
}
