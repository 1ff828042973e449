//! Requests that are made of a document: what should be answered well, and what should be refused as declared.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::document::{Operation, Parameter, Place, Spec, is_json};
use crate::limits::CASES_MAX;
use crate::value;

/// What a case is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CaseKind {
    /// As the document describes it.
    Valid,
    /// The needed credential is left out.
    NoCredential,
    /// A credential that nobody issued.
    BadCredential,
    /// A required parameter is left out.
    MissingParameter,
    /// A parameter of another type.
    WrongParameter,
    /// A path parameter that names nothing.
    UnknownResource,
    /// A required field of the body is left out.
    MissingField,
    /// A field of the body of another type.
    WrongField,
    /// A body that is no JSON.
    MalformedBody,
    /// No body where one is required.
    NoBody,
    /// A body of a media type that is not declared.
    OtherMediaType,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    pub method: String,
    /// With the query, percent-encoded; below the service's base address.
    pub target: String,
    pub headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Case {
    pub operation: String,
    pub kind: CaseKind,
    /// The parameter or field that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    pub request: Request,
}

/// What only the people who run the service can know.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hints {
    /// Values of parameters and body fields, by name, or by `OPERATION.NAME` for one operation alone.
    pub values: BTreeMap<String, Value>,
    /// Headers of every request: a credential, for one.
    pub headers: Vec<(String, String)>,
    /// Which of these headers are the credential, lower case: left out where its absence is tried.
    pub credentials: Vec<String>,
}

impl Hints {
    fn value(&self, operation: &Operation, name: &str) -> Option<&Value> {
        let own = self.values.get(&format!("{}.{name}", operation.id));
        own.or_else(|| self.values.get(name))
    }
}

/// The cases of one operation, the valid one first. The error says what has to be given by hand, because it
/// cannot be made from the schemas.
///
/// # Errors
/// No valid request can be made.
pub fn cases(spec: &Spec, operation: &Operation, hints: &Hints) -> Result<Vec<Case>, String> {
    let draft = Draft::valid(spec, operation, hints)?;
    let mut cases = vec![draft.case(CaseKind::Valid, None)];
    if operation.secured {
        let mut without = draft.clone();
        without
            .headers
            .retain(|(name, _)| !hints.credentials.contains(&name.to_ascii_lowercase()));
        cases.push(without.case(CaseKind::NoCredential, None));
        let mut forged = without.clone();
        for name in &hints.credentials {
            forged.headers.push((name.clone(), "Bearer forged".to_owned()));
        }
        if !hints.credentials.is_empty() {
            cases.push(forged.case(CaseKind::BadCredential, None));
        }
    }
    for parameter in &operation.parameters {
        parameter_cases(spec, &draft, parameter, &mut cases);
    }
    if operation.body.is_some() {
        body_cases(spec, operation, &draft, &mut cases);
    }
    cases.truncate(CASES_MAX);
    Ok(cases)
}

fn parameter_cases(spec: &Spec, draft: &Draft<'_>, parameter: &Parameter, cases: &mut Vec<Case>) {
    let key = (parameter.place, parameter.name.clone());
    let about = || Some(parameter.name.clone());
    if parameter.required && matches!(parameter.place, Place::Query | Place::Header) {
        let mut without = draft.clone();
        without.values.remove(&key);
        cases.push(without.case(CaseKind::MissingParameter, about()));
    }
    let takes_text = value::wrong_type(&spec.root, &parameter.schema)
        .is_none_or(|_| accepts_text(spec, &parameter.schema));
    if !takes_text {
        let mut wrong = draft.clone();
        wrong
            .values
            .insert(key.clone(), Value::String("not-of-this-type".to_owned()));
        cases.push(wrong.case(CaseKind::WrongParameter, about()));
    }
    if parameter.place == Place::Path && takes_text {
        let mut unknown = draft.clone();
        unknown
            .values
            .insert(key, Value::String("no-such-thing".to_owned()));
        cases.push(unknown.case(CaseKind::UnknownResource, about()));
    }
}

/// Whether some text is a value of the schema: what stands in a URL is text.
fn accepts_text(spec: &Spec, schema: &Value) -> bool {
    let Ok(schema) = crate::schema::resolve(&spec.root, schema) else {
        return true;
    };
    let names = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => return true,
    };
    names
        .iter()
        .any(|name| matches!(*name, "string" | "array" | "object"))
        && schema.get("enum").is_none()
}

fn body_cases(spec: &Spec, operation: &Operation, draft: &Draft<'_>, cases: &mut Vec<Case>) {
    let Some(body) = &operation.body else { return };
    if body.required {
        let mut without = draft.clone();
        without.body = None;
        cases.push(without.case(CaseKind::NoBody, None));
    }
    let mut other = draft.clone();
    other.content_type = "text/x-undeclared".to_owned();
    other.body.get_or_insert_with(|| "{}".to_owned());
    cases.push(other.case(CaseKind::OtherMediaType, None));
    if !is_json(&body.content_type) {
        return;
    }
    let mut torn = draft.clone();
    torn.body = Some("{\"torn\":".to_owned());
    cases.push(torn.case(CaseKind::MalformedBody, None));
    let Some(whole) = &draft.json else { return };
    let schema = crate::schema::resolve(&spec.root, &body.schema).unwrap_or(&body.schema);
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    for (name, of) in properties.into_iter().flatten() {
        let is_required = required.is_some_and(|list| list.iter().any(|it| it == name));
        if is_required && let Value::Object(mut fields) = whole.clone() {
            fields.remove(name);
            let mut without = draft.clone();
            without.body = Some(Value::Object(fields).to_string());
            cases.push(without.case(CaseKind::MissingField, Some(name.clone())));
        }
        if let Some(wrong) = value::wrong_type(&spec.root, of)
            && let Value::Object(mut fields) = whole.clone()
        {
            fields.insert(name.clone(), wrong);
            let mut changed = draft.clone();
            changed.body = Some(Value::Object(fields).to_string());
            cases.push(changed.case(CaseKind::WrongField, Some(name.clone())));
        }
    }
}

/// A request in the making.
#[derive(Clone)]
struct Draft<'s> {
    operation: &'s Operation,
    base_path: &'s str,
    values: BTreeMap<(Place, String), Value>,
    headers: Vec<(String, String)>,
    content_type: String,
    body: Option<String>,
    json: Option<Value>,
}

impl<'s> Draft<'s> {
    fn valid(spec: &'s Spec, operation: &'s Operation, hints: &Hints) -> Result<Self, String> {
        let mut values = BTreeMap::new();
        for parameter in &operation.parameters {
            let given = hints
                .value(operation, &parameter.name)
                .or(parameter.example.as_ref())
                .cloned();
            let made = given.or_else(|| {
                parameter
                    .required
                    .then(|| value::valid(&spec.root, &parameter.schema, 0))
                    .flatten()
            });
            match made {
                Some(value) => drop(values.insert((parameter.place, parameter.name.clone()), value)),
                None if parameter.required => {
                    return Err(format!(
                        "no value for the parameter `{}` can be made from its schema; give one: --value {}=…",
                        parameter.name, parameter.name
                    ));
                }
                None => {}
            }
        }
        let mut draft = Self {
            operation,
            base_path: &spec.base_path,
            values,
            headers: hints.headers.clone(),
            content_type: String::new(),
            body: None,
            json: None,
        };
        if let Some(body) = &operation.body {
            draft.content_type.clone_from(&body.content_type);
            let mut made = body
                .example
                .clone()
                .or_else(|| value::valid(&spec.root, &body.schema, 0));
            if let Some(Value::Object(fields)) = &mut made {
                let properties = crate::schema::resolve(&spec.root, &body.schema)
                    .ok()
                    .and_then(|schema| schema.get("properties")?.as_object());
                for name in properties.into_iter().flat_map(serde_json::Map::keys) {
                    if let Some(value) = hints.value(operation, name) {
                        fields.insert(name.clone(), value.clone());
                    }
                }
            }
            match made {
                Some(value) if is_json(&body.content_type) => {
                    draft.body = Some(value.to_string());
                    draft.json = Some(value);
                }
                Some(Value::String(text)) => draft.body = Some(text),
                _ if body.required => {
                    return Err(
                        "no body can be made from its schema; the document can show an example".to_owned(),
                    );
                }
                _ => {}
            }
        }
        Ok(draft)
    }

    fn case(&self, kind: CaseKind, about: Option<String>) -> Case {
        let mut path = self.operation.path.clone();
        let mut query = String::new();
        let mut headers = self.headers.clone();
        let mut cookies = Vec::new();
        for ((place, name), value) in &self.values {
            match place {
                Place::Path => path = path.replace(&format!("{{{name}}}"), &encode(&plain(value))),
                Place::Query => {
                    // The default style: a list repeats the name.
                    let several = match value {
                        Value::Array(items) => items.iter().map(plain).collect(),
                        other => vec![plain(other)],
                    };
                    for one in several {
                        query.push(if query.is_empty() { '?' } else { '&' });
                        query.push_str(&format!("{}={}", encode(name), encode(&one)));
                    }
                }
                Place::Header => headers.push((name.clone(), plain(value))),
                Place::Cookie => cookies.push(format!("{name}={}", plain(value))),
            }
        }
        if !cookies.is_empty() {
            headers.push(("cookie".to_owned(), cookies.join("; ")));
        }
        if self.body.is_some() && !self.content_type.is_empty() {
            headers.push(("content-type".to_owned(), self.content_type.clone()));
        }
        Case {
            operation: self.operation.id.clone(),
            kind,
            about,
            request: Request {
                method: self.operation.method.clone(),
                target: format!("{}{path}{query}", self.base_path),
                headers,
                body: self.body.clone(),
            },
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
