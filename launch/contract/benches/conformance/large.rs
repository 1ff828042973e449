//! Two documents of 5 MB each: schemas that refer to each other within their group, circles among
//! them, two operations for each, and a change in every fiftieth.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Map, Value, json};
use tminus_contract::{Date, Files, Limits, Settings, Spec, compare};

const BYTES_MIN: usize = 5_000_000;

/// Schemas that refer to each other.
const GROUP: usize = 12;

struct Text(Vec<u8>);

impl Files for Text {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.clone())
    }
}

/// Seconds for JSON, seconds for YAML, bytes of a JSON side.
pub fn measure() -> anyhow::Result<(f64, f64, usize)> {
    let parts = parts_for(BYTES_MIN);
    let (base, revision) = (document(parts, false), document(parts, true));
    let json_texts = [base.to_string().into_bytes(), revision.to_string().into_bytes()];
    let yaml_texts = [yaml(&base), yaml(&revision)];
    let bytes = json_texts[0].len();
    Ok((
        compare_texts("large.json", json_texts)?,
        compare_texts("large.yaml", yaml_texts)?,
        bytes,
    ))
}

fn compare_texts(name: &str, [base, revision]: [Vec<u8>; 2]) -> anyhow::Result<f64> {
    let (base, revision) = (Text(base), Text(revision));
    let settings = Settings::new(Date::new(2026, 1, 1)?);
    let started = Instant::now();
    let base = Spec::load(name, &base, &Limits::default())?;
    let revision = Spec::load(name, &revision, &Limits::default())?;
    let findings = compare(&base, &revision, &settings)?;
    let took = started.elapsed().as_secs_f64();
    anyhow::ensure!(
        !findings.is_empty(),
        "the large documents differ, and nothing was found"
    );
    Ok(took)
}

fn parts_for(bytes: usize) -> usize {
    let sample = 50;
    let size = document(sample, false).to_string().len();
    bytes * sample / size + sample
}

fn document(parts: usize, revised: bool) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for part in 0..parts {
        let changed = revised && part % 50 == 7;
        schemas.insert(format!("Part{part}"), schema(part, parts, changed));
        paths.insert(format!("/parts/{part}/{{id}}"), path_item(part, changed));
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Large", "version": "1.0.0" },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}

fn schema(part: usize, parts: usize, changed: bool) -> Value {
    // As in documents that people keep: a part has to do with its group, not with everything.
    let group = part / GROUP * GROUP;
    let reference = |other: usize| {
        let other = (group + other % GROUP).min(parts - 1);
        json!({ "$ref": format!("#/components/schemas/Part{other}") })
    };
    let mut properties = Map::new();
    for at in 0..12 {
        properties.insert(
            format!("field_{at}"),
            json!({
                "type": "string",
                "description": "What this field says, in as many words as such a description has.",
                "minLength": 1,
                "maxLength": if changed && at == 3 { 40 } else { 80 },
                "enum": ["one", "two", "three"],
            }),
        );
    }
    properties.insert("next".to_owned(), reference(part + 1));
    properties.insert("far".to_owned(), reference(part * 7 + 3));
    properties.insert(
        "list".to_owned(),
        json!({ "type": "array", "items": reference(part + 11) }),
    );
    properties.insert(
        "either".to_owned(),
        json!({ "oneOf": [reference(part + 2), { "type": "object", "properties": { "of": reference(part + 5) } }] }),
    );
    json!({ "type": "object", "required": ["field_0", "field_1"], "properties": properties })
}

fn path_item(part: usize, changed: bool) -> Value {
    let content = json!({ "application/json": {
        "schema": { "$ref": format!("#/components/schemas/Part{part}") }
    } });
    let parameters = json!([
        { "name": "id", "in": "path", "required": true, "schema": { "type": "string" } },
        { "name": "limit", "in": "query", "required": changed, "schema": { "type": "integer", "maximum": 100 } },
    ]);
    json!({
        "get": {
            "operationId": format!("getPart{part}"),
            "parameters": parameters.clone(),
            "responses": { "200": { "description": "The part.", "content": content.clone() } },
        },
        "put": {
            "operationId": format!("putPart{part}"),
            "parameters": parameters,
            "requestBody": { "required": true, "content": content },
            "responses": { "204": { "description": "Kept." } },
        },
    })
}

/// Block style, as people write it.
fn yaml(value: &Value) -> Vec<u8> {
    let mut out = String::new();
    write_yaml(&mut out, value, 0);
    out.into_bytes()
}

fn write_yaml(out: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let _ = write!(out, "{indent}{}:", json!(name));
                write_yaml_value(out, member, depth);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(out, "{indent}-");
                write_yaml_value(out, item, depth);
            }
        }
        scalar => {
            let _ = writeln!(out, "{indent}{scalar}");
        }
    }
}

fn write_yaml_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(_) | Value::Array(_) => {
            out.push('\n');
            write_yaml(out, value, depth + 1);
        }
        scalar => {
            let _ = writeln!(out, " {scalar}");
        }
    }
}
