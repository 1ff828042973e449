//! Media types: which entry of `content` is which, and whether one is a special case of another.

use crate::document::At;

/// `type/subtype+suffix; parameters`
#[derive(Debug, PartialEq, Eq)]
struct MediaType {
    kind: String,
    subtype: String,
    suffix: String,
    parameters: Vec<(String, String)>,
}

fn parse(text: &str) -> Option<MediaType> {
    let mut parts = text.split(';');
    let (kind, rest) = parts.next()?.trim().split_once('/')?;
    let mut pieces = rest.split('+');
    let subtype = pieces.next()?.trim();
    let suffix = match (pieces.next(), pieces.next()) {
        (None, _) => "",
        (Some(suffix), None) if !suffix.trim().is_empty() => suffix.trim(),
        _ => return None,
    };
    let mut parameters = Vec::new();
    for part in parts.filter(|part| !part.trim().is_empty()) {
        let (name, value) = part.split_once('=')?;
        parameters.push((
            name.trim().to_ascii_lowercase(),
            value.trim().trim_matches('"').to_owned(),
        ));
    }
    parameters.sort();
    let (kind, subtype) = (kind.trim(), subtype);
    (!kind.is_empty() && !subtype.is_empty() && !subtype.contains('/')).then(|| MediaType {
        kind: kind.to_ascii_lowercase(),
        subtype: subtype.to_ascii_lowercase(),
        suffix: suffix.to_ascii_lowercase(),
        parameters,
    })
}

/// Whether `narrow` is a case of `wide`: `application/problem+json` is one of `application/json`.
pub(super) fn contains(wide: &str, narrow: &str) -> bool {
    let (Some(wide), Some(narrow)) = (parse(wide), parse(narrow)) else {
        return false;
    };
    if wide.kind != narrow.kind {
        return false;
    }
    (wide.suffix.is_empty() && !narrow.suffix.is_empty() && narrow.suffix == wide.subtype)
        || (wide.subtype == narrow.subtype && wide.suffix == narrow.suffix)
}

pub(super) fn differ_in_parameters(a: &str, b: &str) -> bool {
    parse(a).map(|it| it.parameters) != parse(b).map(|it| it.parameters)
}

/// Whether a number and the same number in quotes are different values.
pub(super) fn is_typed(name: &str) -> bool {
    name == "application/json" || name.ends_with("+json")
}

/// An entry of `content` on both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct MediaPair<'s> {
    pub(super) base_name: &'s str,
    /// The name by which it is spoken of.
    pub(super) name: &'s str,
    pub(super) base: At<'s>,
    pub(super) revision: At<'s>,
}

#[derive(Debug, Default)]
pub(super) struct Content<'s> {
    pub(super) added: Vec<(&'s str, At<'s>)>,
    pub(super) deleted: Vec<(&'s str, At<'s>)>,
    pub(super) pairs: Vec<MediaPair<'s>>,
}

impl<'s> Content<'s> {
    /// By name; what is left, by one being a case of the other.
    pub(super) fn of(base: At<'s>, revision: At<'s>) -> Self {
        let mut it = Self::default();
        let (from, to) = (base.get("content"), revision.get("content"));
        for (name, one) in from.into_iter().flat_map(At::members) {
            match to.and_then(|to| to.entry(name)) {
                Some(other) => it.pairs.push(MediaPair {
                    base_name: name,
                    name,
                    base: one,
                    revision: other,
                }),
                None => it.deleted.push((name, one)),
            }
        }
        for (name, one) in to.into_iter().flat_map(At::members) {
            if from.and_then(|from| from.entry(name)).is_some() {
                continue;
            }
            let related = it
                .deleted
                .iter()
                .position(|(other, _)| contains(name, other) || contains(other, name));
            match related {
                Some(at) => {
                    let (base_name, base) = it.deleted.remove(at);
                    it.pairs.push(MediaPair {
                        base_name,
                        name,
                        base,
                        revision: one,
                    });
                }
                None => it.added.push((name, one)),
            }
        }
        it
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_a_case_of_another() {
        for (wide, narrow, expected) in [
            ("application/json", "application/json", true),
            ("application/json", "application/json; charset=utf-8", true),
            ("application/json", "application/problem+json", true),
            ("application/problem+json", "application/json", false),
            ("application/xml", "application/problem+json", false),
            ("text/json", "application/problem+json", false),
            ("application/json", "not a type", false),
            ("application/a+b+c", "application/a+b+c", false),
            ("Application/JSON", "application/json", true),
        ] {
            assert_eq!(contains(wide, narrow), expected, "{wide} {narrow}");
        }
    }
}
