//! A document with every file that it refers to, and where each reference leads.
//!
//! All files are read before anything is compared, through the caller's [`Files`]. A reference that
//! leads nowhere is remembered and becomes an error where something uses it.

use std::collections::BTreeMap;

use super::builder::Builder;
use super::{At, Mark, Node, NodeId, Object, Value, json, yaml};
use crate::error::ContractError;

/// Hands in the text of a file, by the name that a reference resolves to.
pub trait Files {
    /// # Errors
    /// In words, why the file cannot be had.
    fn read(&self, name: &str) -> Result<Vec<u8>, String>;
}

/// How much is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file_bytes_max: usize,
    /// Files of one side, the root among them.
    pub files_max: usize,
    /// Values of one side, once every YAML alias is written out.
    pub nodes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 32 << 20,
            files_max: 500,
            nodes_max: 8_000_000,
        }
    }
}

/// References in a row.
const HOPS_MAX: usize = 50;

/// One side of a comparison.
#[derive(Debug)]
pub struct Spec {
    nodes: Vec<Node>,
    /// Names and roots; the document itself is the first. A root is missing when the file was.
    files: Vec<(String, Result<NodeId, ContractError>)>,
    /// Where the object with a `$ref` leads, or why it does not.
    references: BTreeMap<NodeId, Result<NodeId, String>>,
    empty: NodeId,
    never: NodeId,
}

impl Spec {
    /// Reads `name` and every file that it refers to.
    ///
    /// # Errors
    /// The document cannot be read, is no OpenAPI 3 document, or a limit is passed.
    pub fn load(name: &str, files: &dyn Files, limits: &Limits) -> Result<Self, ContractError> {
        let nowhere = Mark {
            file: 0,
            line: 1,
            column: 1,
        };
        let mut spec = Self {
            nodes: Vec::new(),
            files: Vec::new(),
            references: BTreeMap::new(),
            empty: NodeId(0),
            never: NodeId(1),
        };
        // `true` as a schema is the empty schema, `false` is {not: {}}.
        spec.nodes.push(Node {
            value: Value::Object(Object::new(Vec::new())),
            mark: nowhere,
            size: 1,
        });
        spec.nodes.push(Node {
            value: Value::Object(Object::new(vec![("not".into(), NodeId(0))])),
            mark: nowhere,
            size: 2,
        });
        spec.add_file(name, files, limits)?;
        if let Err(error) = &spec.files[0].1 {
            return Err(error.clone());
        }
        let mut scanned = 0;
        while scanned < spec.nodes.len() {
            let from = scanned;
            scanned = spec.nodes.len();
            for name in spec.files_named_from(from) {
                if spec.files.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                if spec.files.len() >= limits.files_max {
                    return Err(ContractError::Limit {
                        what: "files of one document".to_owned(),
                        limit: limits.files_max as u64,
                    });
                }
                spec.add_file(&name, files, limits)?;
            }
        }
        spec.check_version()?;
        spec.resolve_all();
        Ok(spec)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn root(&self) -> At<'_> {
        At {
            spec: self,
            id: self.files[0].1.as_ref().map_or(self.empty, |id| *id),
        }
    }

    /// The schema that takes everything.
    pub(crate) fn empty(&self) -> NodeId {
        self.empty
    }

    /// The schema that takes nothing.
    pub(crate) fn never(&self) -> NodeId {
        self.never
    }

    pub(crate) fn file_name(&self, mark: Mark) -> &str {
        self.files.get(mark.file as usize).map_or("", |(name, _)| name)
    }

    /// Follows `$ref`s to what they mean.
    pub(crate) fn follow<'s>(&'s self, from: At<'s>) -> Result<At<'s>, ContractError> {
        let mut at = from;
        for _ in 0..HOPS_MAX {
            match self.references.get(&at.id) {
                None => return Ok(at),
                Some(Ok(id)) => at = At { spec: self, id: *id },
                Some(Err(why)) => return Err(self.lost(at, why)),
            }
        }
        Err(self.lost(from, "it leads in a circle of references"))
    }

    pub(crate) fn is_reference(&self, at: At<'_>) -> bool {
        self.references.contains_key(&at.id)
    }

    pub(crate) fn malformed(
        &self,
        at: At<'_>,
        what: impl Into<String>,
        expected: &'static str,
    ) -> ContractError {
        let mark = at.mark();
        ContractError::Malformed {
            file: self.file_name(mark).to_owned(),
            line: mark.line,
            column: mark.column,
            what: what.into(),
            expected,
        }
    }

    fn lost(&self, at: At<'_>, why: &str) -> ContractError {
        let mark = at.mark_of("$ref");
        ContractError::Reference {
            file: self.file_name(mark).to_owned(),
            line: mark.line,
            column: mark.column,
            reference: at.text("$ref").to_owned(),
            why: why.to_owned(),
        }
    }

    fn add_file(&mut self, name: &str, files: &dyn Files, limits: &Limits) -> Result<(), ContractError> {
        let file = u32::try_from(self.files.len()).unwrap_or(u32::MAX);
        let root = read(name, files, limits).and_then(|text| {
            let builder = Builder::new(&mut self.nodes, name, limits.nodes_max);
            parse(&text, name, file, builder)
        });
        match root {
            // A file that is missing may be one that nothing needs; one that is broken is an error.
            Ok(_) | Err(ContractError::Read { .. }) => {
                self.files.push((name.to_owned(), root));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Names of the files that references of the nodes from `start` on ask for.
    fn files_named_from(&self, start: usize) -> Vec<String> {
        let mut names = Vec::new();
        for index in start.min(self.nodes.len())..self.nodes.len() {
            let at = At {
                spec: self,
                id: NodeId(u32::try_from(index).unwrap_or(u32::MAX)),
            };
            let Some(reference) = reference_of(at) else {
                continue;
            };
            let (file, _) = reference.split_once('#').unwrap_or((reference, ""));
            if file.is_empty() || is_remote(file) {
                continue;
            }
            names.push(join(self.file_name(at.mark()), file));
        }
        names.sort();
        names.dedup();
        names
    }

    fn check_version(&self) -> Result<(), ContractError> {
        let root = self.root();
        let refuse = |why: String| {
            Err(ContractError::NotOpenApi {
                file: self.files[0].0.clone(),
                why,
            })
        };
        if !root.is_object() {
            return refuse("its root is no object".to_owned());
        }
        if root.get("swagger").is_some() {
            return refuse("it is Swagger 2.0; convert it to OpenAPI 3 first".to_owned());
        }
        match root.get("openapi") {
            None => refuse("it has no `openapi` version".to_owned()),
            Some(version) => {
                let text = version.render();
                if text == "3" || text.starts_with("3.") {
                    Ok(())
                } else {
                    refuse(format!("`openapi: {text}`; this release knows 3.0 and 3.1"))
                }
            }
        }
    }

    fn resolve_all(&mut self) {
        let mut targets: BTreeMap<(u32, String), Result<NodeId, String>> = BTreeMap::new();
        let mut found = BTreeMap::new();
        for index in 0..self.nodes.len() {
            let at = At {
                spec: self,
                id: NodeId(u32::try_from(index).unwrap_or(u32::MAX)),
            };
            let Some(reference) = reference_of(at) else {
                continue;
            };
            let key = (at.mark().file, reference.to_owned());
            let target = match targets.get(&key) {
                Some(known) => known.clone(),
                None => {
                    let target = self.locate(at.mark(), reference);
                    targets.insert(key, target.clone());
                    target
                }
            };
            found.insert(at.id, target);
        }
        self.references = found;
        if self.siblings_count() {
            self.apply_siblings();
        }
    }

    /// From 3.1 on, what stands beside a `$ref` adds to what it leads to; before, it is ignored.
    fn siblings_count(&self) -> bool {
        let version = self.root().get("openapi").map(At::render).unwrap_or_default();
        !matches!(version.as_str(), "3" | "3.0") && !version.starts_with("3.0.")
    }

    fn apply_siblings(&mut self) {
        let mut merged = Vec::new();
        for (id, target) in &self.references {
            let at = At { spec: self, id: *id };
            let (Ok(_), Value::Object(object)) = (target, at.value()) else {
                continue;
            };
            if object.members.len() < 2 {
                continue;
            }
            let Ok(target) = self.follow(at) else {
                continue;
            };
            let Value::Object(target) = target.value() else {
                continue;
            };
            let mut members = target.members.to_vec();
            for (name, member) in object.members.iter().filter(|(name, _)| &**name != "$ref") {
                match members.iter_mut().find(|(known, _)| known == name) {
                    Some(known) => known.1 = *member,
                    None => members.push((name.clone(), *member)),
                }
            }
            let size = self.node(*id).size;
            merged.push((*id, members, at.mark(), size));
        }
        for (id, members, mark, size) in merged {
            let new = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
            self.nodes.push(Node {
                value: Value::Object(Object::new(members)),
                mark,
                size,
            });
            self.references.insert(id, Ok(new));
        }
    }

    fn locate(&self, from: Mark, reference: &str) -> Result<NodeId, String> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if is_remote(file) {
            return Err("it names another host; keep a copy of the file beside the document".to_owned());
        }
        let name = if file.is_empty() {
            self.file_name(from).to_owned()
        } else {
            join(self.file_name(from), file)
        };
        let root = match self.files.iter().find(|(known, _)| *known == name) {
            Some((_, Ok(id))) => *id,
            Some((_, Err(error))) => return Err(error.to_string()),
            None => return Err(format!("{name} was not read")),
        };
        if fragment.is_empty() {
            return Ok(root);
        }
        let Some(pointer) = fragment.strip_prefix('/') else {
            return Err("anchors are not followed; write a path as in #/components/schemas/Name".to_owned());
        };
        let mut at = At { spec: self, id: root };
        for step in pointer.split('/') {
            let step = unescape(step);
            let mut hops = 0;
            let next = loop {
                let next = match at.value() {
                    Value::Array(items) => step.parse::<usize>().ok().and_then(|n| items.get(n).copied()),
                    Value::Object(object) => object.get(&step),
                    _ => None,
                };
                match (next, reference_of(at)) {
                    (Some(id), _) => break id,
                    (None, Some(inner)) if hops < HOPS_MAX && inner != reference => {
                        hops += 1;
                        at = At {
                            spec: self,
                            id: self.locate_shallow(at.mark(), inner)?,
                        };
                    }
                    _ => return Err(format!("there is no `{step}` in {}", self.file_name(at.mark()))),
                }
            };
            at = At { spec: self, id: next };
        }
        Ok(at.id)
    }

    /// As [`Self::locate`], but a path through a further reference ends it: no recursion.
    fn locate_shallow(&self, from: Mark, reference: &str) -> Result<NodeId, String> {
        let (file, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let name = if file.is_empty() {
            self.file_name(from).to_owned()
        } else {
            join(self.file_name(from), file)
        };
        let Some((_, Ok(root))) = self.files.iter().find(|(known, _)| *known == name) else {
            return Err(format!("{name} was not read"));
        };
        let mut at = At {
            spec: self,
            id: *root,
        };
        for step in fragment.strip_prefix('/').unwrap_or("").split('/') {
            if step.is_empty() {
                continue;
            }
            match at.value() {
                Value::Object(object) => match object.get(&unescape(step)) {
                    Some(id) => at = At { spec: self, id },
                    None => return Err(format!("`{reference}` on the way leads nowhere")),
                },
                _ => return Err(format!("`{reference}` on the way leads nowhere")),
            }
        }
        Ok(at.id)
    }
}

fn reference_of(at: At<'_>) -> Option<&str> {
    at.get("$ref").and_then(At::as_str)
}

fn is_remote(file: &str) -> bool {
    file.contains("://") || file.starts_with("//")
}

fn read(name: &str, files: &dyn Files, limits: &Limits) -> Result<String, ContractError> {
    let bytes = files.read(name).map_err(|why| ContractError::Read {
        file: name.to_owned(),
        why,
    })?;
    if bytes.len() > limits.file_bytes_max {
        return Err(ContractError::TooLarge {
            file: name.to_owned(),
            bytes: bytes.len(),
            limit: limits.file_bytes_max,
        });
    }
    String::from_utf8(bytes).map_err(|error| ContractError::NotUtf8 {
        file: name.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// By the file's name; YAML takes most JSON too, but slower, so a brace asks JSON first.
fn parse(text: &str, name: &str, file: u32, builder: Builder<'_>) -> Result<NodeId, ContractError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lower = name.to_ascii_lowercase();
    let is_yaml = lower.ends_with(".yaml") || lower.ends_with(".yml");
    let has_brace = text.trim_start().starts_with(['{', '[']);
    if lower.ends_with(".json") || (!is_yaml && has_brace) {
        json::parse(text, file, builder)
    } else {
        yaml::parse(text, file, builder)
    }
}

/// `other` as seen from the file `from`, without `.` and `..`.
fn join(from: &str, other: &str) -> String {
    let other = unescape(other);
    if other.starts_with('/') {
        return other;
    }
    let absolute = from.starts_with('/');
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(other.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    if absolute { format!("/{joined}") } else { joined }
}

/// JSON Pointer (RFC 6901) inside a URI fragment: `%41`, `~1`, `~0`.
fn unescape(step: &str) -> String {
    let mut bytes = Vec::with_capacity(step.len());
    let raw = step.as_bytes();
    let mut at = 0;
    while at < raw.len() {
        let decoded = (raw[at] == b'%')
            .then(|| raw.get(at + 1..at + 3))
            .flatten()
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                at += 3;
            }
            None => {
                bytes.push(raw[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&bytes)
        .replace("~1", "/")
        .replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_where_the_reference_stands() {
        for (from, other, expected) in [
            ("api/openapi.yaml", "common.yaml", "api/common.yaml"),
            ("api/v1/openapi.yaml", "../common.yaml", "api/common.yaml"),
            ("openapi.yaml", "../common.yaml", "../common.yaml"),
            ("../a/openapi.yaml", "../../b.yaml", "../../b.yaml"),
            ("/srv/openapi.yaml", "./x/../b%20c.yaml", "/srv/b c.yaml"),
            ("api/openapi.yaml", "/etc/b.yaml", "/etc/b.yaml"),
        ] {
            assert_eq!(join(from, other), expected, "{from} {other}");
        }
    }

    #[test]
    fn steps_of_a_pointer_are_unescaped() {
        assert_eq!(unescape("~1pets~1{id}"), "/pets/{id}");
        assert_eq!(unescape("a%7Bb%7D~01"), "a{b}~1");
        assert_eq!(unescape("50%"), "50%");
    }
}
