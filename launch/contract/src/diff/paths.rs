//! Paths and webhooks: which of them, and which of their operations, are on both sides.

use std::sync::Arc;

use super::operations::Operation;
use super::parameters_matching::PathNames;
use super::{Comparison, Said, Spot};
use crate::document::{At, Mark};
use crate::error::ContractError;

/// Methods in the order in which they are looked at.
pub(super) const METHODS: [(&str, &str); 9] = [
    ("get", "GET"),
    ("head", "HEAD"),
    ("post", "POST"),
    ("put", "PUT"),
    ("patch", "PATCH"),
    ("delete", "DELETE"),
    ("connect", "CONNECT"),
    ("options", "OPTIONS"),
    ("trace", "TRACE"),
];

/// A path of the base and the same path of the revision.
pub(super) struct PathPair<'s> {
    pub(super) path: Arc<str>,
    pub(super) base: At<'s>,
    pub(super) revision: At<'s>,
    pub(super) names: PathNames,
    pub(super) is_webhook: bool,
}

/// `/games/{id}` as `/games/{}`, and the names that it had.
pub(super) fn template(path: &str) -> (String, Vec<&str>) {
    let mut shape = String::with_capacity(path.len());
    let mut names = Vec::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        shape.push_str(before);
        shape.push('{');
        match after.split_once('}') {
            Some((name, after)) => {
                names.push(name);
                shape.push('}');
                rest = after;
            }
            None => {
                shape.push_str(after);
                rest = "";
            }
        }
    }
    shape.push_str(rest);
    (shape, names)
}

pub(super) fn operations<'s>(item: At<'s>) -> impl Iterator<Item = (&'static str, At<'s>)> {
    METHODS
        .iter()
        .filter_map(move |(key, method)| item.get(key).map(|operation| (*method, operation)))
}

impl<'s> Comparison<'s> {
    pub(super) fn paths(&mut self) -> Result<(), ContractError> {
        let base = self.path_items(self.base.root(), "paths")?;
        let revision = self.path_items(self.revision.root(), "paths")?;
        let by_shape = |items: &[(&'s str, At<'s>)]| {
            let mut shapes = std::collections::BTreeMap::new();
            for (at, (path, _)) in items.iter().enumerate() {
                shapes.entry(template(path).0).or_insert(at);
            }
            shapes
        };
        let base_paths: std::collections::BTreeSet<&str> = base.iter().map(|(path, _)| *path).collect();
        let revision_paths: std::collections::BTreeMap<&str, At<'s>> = revision.iter().copied().collect();
        let (base_shapes, revision_shapes) = (by_shape(&base), by_shape(&revision));
        for (path, item) in &base {
            let pair = |other: At<'s>, names| PathPair {
                path: Arc::from(*path),
                base: *item,
                revision: other,
                names,
                is_webhook: false,
            };
            if let Some(other) = revision_paths.get(path) {
                self.path_pair(&pair(*other, PathNames::default()))?;
                continue;
            }
            let (shape, names) = template(path);
            match revision_shapes.get(&shape) {
                Some(at) => {
                    let (other_path, other) = revision[*at];
                    let names = PathNames::new(&names, &template(other_path).1);
                    self.path_pair(&pair(other, names))?;
                }
                None => self.path_removed(path, *item)?,
            }
        }
        for (path, item) in &revision {
            if base_paths.contains(path) || base_shapes.contains_key(&template(path).0) {
                continue;
            }
            let around = self.base.root().mark_of("paths");
            for (method, operation) in operations(*item) {
                self.operation_added(path, method, operation, around)?;
            }
        }
        Ok(())
    }

    pub(super) fn webhooks(&mut self) -> Result<(), ContractError> {
        let base = self.path_items(self.base.root(), "webhooks")?;
        let revision = self.path_items(self.revision.root(), "webhooks")?;
        for (name, item) in &base {
            match revision.iter().find(|(other, _)| other == name) {
                Some((_, other)) => self.path_pair(&PathPair {
                    path: format!("webhook:{name}").into(),
                    base: *item,
                    revision: *other,
                    names: PathNames::default(),
                    is_webhook: true,
                })?,
                None => {
                    let around = self.revision.root().mark_of("webhooks");
                    let text = format!("the webhook `{name}` is gone");
                    self.say(
                        &Spot::NOWHERE,
                        Said::new("webhook-removed", text, item.mark(), around),
                    )?;
                }
            }
        }
        for (name, item) in &revision {
            if !base.iter().any(|(other, _)| other == name) {
                let around = self.base.root().mark_of("webhooks");
                let text = format!("the webhook `{name}` is new");
                self.say(
                    &Spot::NOWHERE,
                    Said::new("webhook-added", text, around, item.mark()),
                )?;
            }
        }
        Ok(())
    }

    fn path_items(&self, root: At<'s>, key: &str) -> Result<Vec<(&'s str, At<'s>)>, ContractError> {
        let Some(all) = root.get(key) else {
            return Ok(Vec::new());
        };
        if !all.is_object() {
            return Err(all
                .spec
                .malformed(all, format!("`{key}` is no object"), "names with path items"));
        }
        let mut items = Vec::new();
        for (name, item) in all.members() {
            if name.starts_with("x-") {
                continue;
            }
            let item = item.spec.follow(item)?;
            if !item.is_object() {
                return Err(item
                    .spec
                    .malformed(item, format!("`{name}` is no object"), "a path item"));
            }
            for (key, _) in METHODS {
                if let Some(operation) = item.get(key)
                    && !operation.is_object()
                {
                    return Err(item.spec.malformed(
                        operation,
                        format!("`{key}` is no object"),
                        "an operation",
                    ));
                }
            }
            items.push((name, item));
        }
        Ok(items)
    }

    fn path_pair(&mut self, pair: &PathPair<'s>) -> Result<(), ContractError> {
        for (key, method) in METHODS {
            match (pair.base.get(key), pair.revision.get(key)) {
                (None, None) => {}
                (None, Some(operation)) => {
                    self.operation_added(&pair.path, method, operation, pair.base.mark())?;
                }
                (Some(operation), None) => {
                    self.operation_removed(pair, method, operation)?;
                }
                (Some(base), Some(revision)) => {
                    let operation = Operation::new(method, &pair.path, base, revision);
                    self.operation_pair(pair, &operation)?;
                }
            }
        }
        Ok(())
    }

    fn operation_added(
        &mut self,
        path: &str,
        method: &'static str,
        operation: At<'s>,
        around: Mark,
    ) -> Result<(), ContractError> {
        let spot = super::operations::spot(method, path, operation);
        self.say(
            &spot,
            Said::new("endpoint-added", "the operation is new", around, operation.mark()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_keeps_everything_but_the_names() {
        for (path, shape, names) in [
            ("/games", "/games", vec![]),
            ("/games/{id}", "/games/{}", vec!["id"]),
            ("/a/{b}/c/{d}.json", "/a/{}/c/{}.json", vec!["b", "d"]),
            ("/broken/{id", "/broken/{id", vec![]),
            ("/{}", "/{}", vec![""]),
        ] {
            assert_eq!(template(path), (shape.to_owned(), names), "{path}");
        }
    }
}
