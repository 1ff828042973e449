//! A whole definition: checked, merged from its layers, compiled, asked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    Context, Problem,
    check::{Checker, Evaluator},
    evaluate::{self, EvaluateError, Reason, Resolution},
    json::{self, Json, Member, Node},
    limits::{BYTES_MAX, EVALUATORS_MAX, FLAGS_MAX, NAME_BYTES_MAX, VARIANTS_MAX},
    problem::{Path, Problems},
    rule::Rule,
    value::to_text,
};

/// One file's text. In a later layer a flag, an evaluator or a field of the metadata takes the place of one of the
/// same name.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// For problems; may be empty.
    pub name: &'a str,
    pub text: &'a str,
}

/// What kind of value a flag has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    String,
    Number,
    Object,
}

impl Kind {
    pub(crate) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(_) => Self::Boolean,
            Value::String(_) => Self::String,
            Value::Number(_) => Self::Number,
            Value::Object(_) => Self::Object,
            Value::Null | Value::Array(_) => return None,
        })
    }

    /// In words, with an article.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Object => "an object",
        }
    }
}

/// One flag, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Flag {
    pub enabled: bool,
    pub kind: Kind,
    pub variants: BTreeMap<String, Value>,
    /// The variant without a rule, or where the rule chooses none.
    pub default_variant: Option<String>,
    pub metadata: Map<String, Value>,
    /// Its value was given from outside, over that of the definition.
    pub overridden: bool,
    pub(crate) rule: Option<Rule>,
}

impl Flag {
    /// Whether its value can depend on who asks.
    #[must_use]
    pub fn has_rule(&self) -> bool {
        self.rule.is_some()
    }
}

/// The flags of a definition. Immutable: a newer definition is another set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FlagSet {
    pub(crate) flags: BTreeMap<String, Flag>,
    metadata: Map<String, Value>,
}

impl FlagSet {
    /// Reads a definition in flagd's JSON.
    ///
    /// # Errors
    /// Everything that is wrong, up to a limit, with its places.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        Self::parse_layers(&[Layer { name: "", text }])
    }

    /// The same of several texts; later ones win.
    ///
    /// # Errors
    /// As [`FlagSet::parse`].
    pub fn parse_layers(layers: &[Layer<'_>]) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(layers);
        let roots: Vec<Option<Node>> = layers
            .iter()
            .enumerate()
            .map(|(layer, text)| read(layer, text, &mut problems))
            .collect();
        if !problems.is_empty() {
            return Err(problems.into_found());
        }
        let mut document = Document::default();
        for (layer, root) in roots.iter().enumerate() {
            if let Some(root) = root {
                document.add(layer, root, &mut problems);
            }
        }
        let set = document.compile(&mut problems);
        if problems.is_empty() {
            Ok(set)
        } else {
            Err(problems.into_found())
        }
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Flag> {
        self.flags.get(key)
    }

    /// Every flag by its key, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Flag)> {
        self.flags.iter().map(|(key, flag)| (key.as_str(), flag))
    }

    /// The value of a flag for somebody.
    ///
    /// # Errors
    /// There is no such flag, or no answer for this context.
    pub fn evaluate(&self, key: &str, context: &Context) -> Result<Resolution<'_>, EvaluateError> {
        let Some((key, flag)) = self.flags.get_key_value(key) else {
            return Err(EvaluateError::FlagNotFound { key: key.to_owned() });
        };
        let metadata = [&self.metadata, &flag.metadata];
        let resolution = |variant: Option<&str>, reason| {
            let chosen = variant.and_then(|variant| flag.variants.get_key_value(variant));
            Resolution {
                value: chosen.map(|(_, value)| value),
                variant: chosen.map(|(variant, _)| variant.as_str()),
                // Without a default variant nothing is static: the value is that of whoever asks.
                reason: if chosen.is_none() && reason == Reason::Static {
                    Reason::Default
                } else {
                    reason
                },
                metadata,
            }
        };
        if !flag.enabled {
            return Ok(resolution(None, Reason::Disabled));
        }
        let default = flag.default_variant.as_deref();
        let Some(rule) = &flag.rule else {
            return Ok(resolution(default, Reason::Static));
        };
        let result = evaluate::evaluate(key, rule, context)?;
        if result.is_null() {
            return Ok(resolution(default, Reason::Default));
        }
        let variant = to_text(&result);
        if !flag.variants.contains_key(&*variant) {
            let mut result = variant.into_owned();
            result.truncate(result.floor_char_boundary(NAME_BYTES_MAX));
            let key = key.clone();
            return Err(EvaluateError::NotAVariant { key, result });
        }
        Ok(resolution(Some(&variant), Reason::TargetingMatch))
    }
}

fn read(layer: usize, text: &Layer<'_>, problems: &mut Problems<'_>) -> Option<Node> {
    if text.text.len() > BYTES_MAX {
        let message = format!(
            "the definition has {} bytes; at most {BYTES_MAX}",
            text.text.len()
        );
        problems.add((layer, 0), &Path::ROOT, message);
        return None;
    }
    match json::parse(text.text) {
        Ok(root) => Some(root),
        Err(error) => {
            problems.add((layer, error.at), &Path::ROOT, error.message);
            None
        }
    }
}

/// All layers, not yet compiled: what is here points into their trees.
#[derive(Debug, Default)]
struct Document<'a> {
    flags: BTreeMap<&'a str, (usize, &'a Member)>,
    evaluators: BTreeMap<&'a str, Evaluator<'a>>,
    metadata: Map<String, Value>,
}

impl<'a> Document<'a> {
    fn add(&mut self, layer: usize, root: &'a Node, problems: &mut Problems<'_>) {
        let path = Path::ROOT;
        let Some(members) = object(layer, root, &path, "a definition", problems) else {
            return;
        };
        for member in members {
            let path = path.key(&member.key);
            match member.key.as_str() {
                "flags" => {
                    let named = self.named(layer, member, &path, "\"flags\"", problems);
                    self.flags
                        .extend(named.map(|flag| (flag.key.as_str(), (layer, flag))));
                }
                "$evaluators" => {
                    let named = self.named(layer, member, &path, "\"$evaluators\"", problems);
                    self.evaluators.extend(named.map(|rule| {
                        let node = &rule.value;
                        (rule.key.as_str(), Evaluator { layer, node })
                    }));
                }
                "metadata" => self
                    .metadata
                    .extend(metadata(layer, &member.value, &path, problems)),
                "$schema" => {
                    if !matches!(member.value.json, Json::String(_)) {
                        problems.add((layer, member.value.at), &path, "\"$schema\" is a string");
                    }
                }
                other => {
                    let message = format!(
                        "unknown member {other:?}; there is flags, $evaluators, metadata and $schema"
                    );
                    problems.add((layer, member.key_at), &path, message);
                }
            }
        }
        if !members.iter().any(|member| member.key == "flags") {
            problems.add((layer, root.at), &path, "\"flags\" is missing");
        }
        for (count, max, what) in [
            (self.flags.len(), FLAGS_MAX, "flags"),
            (self.evaluators.len(), EVALUATORS_MAX, "evaluators"),
        ] {
            if count > max {
                problems.add(
                    (layer, root.at),
                    &path,
                    format!("there are {count} {what}; at most {max}"),
                );
            }
        }
    }

    /// The members of an object whose names are chosen by its author.
    fn named(
        &self,
        layer: usize,
        member: &'a Member,
        path: &Path<'_>,
        what: &str,
        problems: &mut Problems<'_>,
    ) -> impl Iterator<Item = &'a Member> + use<'a> {
        let members = object(layer, &member.value, path, what, problems).unwrap_or_default();
        for member in members {
            if !(1..=NAME_BYTES_MAX).contains(&member.key.len()) {
                let message = format!("a name has 1 to {NAME_BYTES_MAX} bytes");
                problems.add((layer, member.key_at), path, message);
            }
        }
        members.iter()
    }

    fn compile(mut self, problems: &mut Problems<'_>) -> FlagSet {
        let metadata = std::mem::take(&mut self.metadata);
        let mut flags = BTreeMap::new();
        // The limits were told; what is beyond them is not worth the work.
        if self.flags.len() > FLAGS_MAX || self.evaluators.len() > EVALUATORS_MAX {
            return FlagSet { flags, metadata };
        }
        let root = Path::ROOT;
        let (flags_path, evaluators_path) = (root.key("flags"), root.key("$evaluators"));
        let mut checker = Checker::new(&self.evaluators, problems);
        for (name, evaluator) in &self.evaluators {
            checker.evaluator(name, *evaluator, &evaluators_path.key(name));
        }
        for (key, (layer, member)) in &self.flags {
            let path = flags_path.key(key);
            if let Some(flag) = flag(*layer, member, &path, &mut checker) {
                flags.insert((*key).to_owned(), flag);
            }
        }
        FlagSet { flags, metadata }
    }
}

/// `None`: problems were told.
fn flag<'a>(
    layer: usize,
    member: &'a Member,
    path: &Path<'_>,
    checker: &mut Checker<'a, '_, '_>,
) -> Option<Flag> {
    let key = &member.key;
    let members = object(layer, &member.value, path, "a flag", checker.problems())?;
    let field = |name: &str| members.iter().find(|member| member.key == name);
    for member in members {
        if !["state", "variants", "defaultVariant", "targeting", "metadata"].contains(&member.key.as_str()) {
            let message = format!(
                "unknown member {:?}; a flag has state, variants, defaultVariant, targeting and metadata",
                member.key
            );
            checker
                .problems()
                .add((layer, member.key_at), &path.key(&member.key), message);
        }
    }
    let Some(state) = field("state") else {
        checker
            .problems()
            .add((layer, member.key_at), path, "\"state\" is missing");
        return None;
    };
    let enabled = match &state.value.json {
        Json::String(text) if text == "ENABLED" => true,
        Json::String(text) if text == "DISABLED" => false,
        _ => {
            let message = "\"state\" is \"ENABLED\" or \"DISABLED\"";
            checker
                .problems()
                .add((layer, state.value.at), &path.key("state"), message);
            return None;
        }
    };
    let Some(variants) = field("variants") else {
        checker
            .problems()
            .add((layer, member.key_at), path, "\"variants\" is missing");
        return None;
    };
    let (kind, variants) = variants_of(layer, &variants.value, &path.key("variants"), checker.problems())?;
    let default_variant = match field("defaultVariant").map(|member| &member.value) {
        None => None,
        Some(node) => {
            let name = match &node.json {
                Json::Null => None,
                Json::String(text) if text.is_empty() => None,
                Json::String(text) => Some(text.clone()),
                // flagd takes a boolean for the variant of that name.
                Json::Bool(value) => Some(value.to_string()),
                _ => {
                    let message = format!("the name of a variant is a string, not {}", node.what());
                    checker
                        .problems()
                        .add((layer, node.at), &path.key("defaultVariant"), message);
                    return None;
                }
            };
            if let Some(name) = &name
                && !variants.contains_key(name)
            {
                let known: Vec<&str> = variants.keys().map(String::as_str).take(20).collect();
                let message = format!("{name:?} is no variant of {key}; there is {}", known.join(", "));
                checker
                    .problems()
                    .add((layer, node.at), &path.key("defaultVariant"), message);
                return None;
            }
            name
        }
    };
    let metadata = match field("metadata") {
        Some(member) => metadata(layer, &member.value, &path.key("metadata"), checker.problems()),
        None => Map::new(),
    };
    let rule = match field("targeting").map(|member| &member.value) {
        None => None,
        Some(node) => match &node.json {
            Json::Object(members) if members.is_empty() => None,
            Json::Null => None,
            _ => Some(checker.targeting(layer, node, &path.key("targeting"), (key, &variants))?),
        },
    };
    Some(Flag {
        enabled,
        kind,
        variants,
        default_variant,
        metadata,
        overridden: false,
        rule,
    })
}

fn variants_of(
    layer: usize,
    node: &Node,
    path: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Option<(Kind, BTreeMap<String, Value>)> {
    let members = object(layer, node, path, "\"variants\"", problems)?;
    if !(1..=VARIANTS_MAX).contains(&members.len()) {
        let message = format!("a flag has 1 to {VARIANTS_MAX} variants, not {}", members.len());
        problems.add((layer, node.at), path, message);
        return None;
    }
    let mut kinds = Vec::new();
    let mut variants = BTreeMap::new();
    for member in members {
        let path = path.key(&member.key);
        if !(1..=NAME_BYTES_MAX).contains(&member.key.len()) {
            let message = format!("a name has 1 to {NAME_BYTES_MAX} bytes");
            problems.add((layer, member.key_at), &path, message);
        }
        let value = member.value.to_value();
        match (Kind::of(&value), kinds.first()) {
            (None, _) => {
                let what = member.value.what();
                let message = format!("a variant is a boolean, a string, a number or an object, not {what}");
                problems.add((layer, member.value.at), &path, message);
                return None;
            }
            (Some(kind), Some(first)) if kind != *first => {
                let message = format!(
                    "this variant is {}, the first one {}; all of a flag are of one kind",
                    kind.as_str(),
                    first.as_str()
                );
                problems.add((layer, member.value.at), &path, message);
                return None;
            }
            (Some(kind), _) => kinds.push(kind),
        }
        variants.insert(member.key.clone(), value);
    }
    Some((*kinds.first()?, variants))
}

/// The fields that are sound.
fn metadata(layer: usize, node: &Node, path: &Path<'_>, problems: &mut Problems<'_>) -> Map<String, Value> {
    let members = object(layer, node, path, "\"metadata\"", problems).unwrap_or_default();
    let mut fields = Map::new();
    for member in members {
        match member.value.json {
            Json::Bool(_) | Json::Number(_) | Json::String(_) => {
                fields.insert(member.key.clone(), member.value.to_value());
            }
            _ => {
                let what = member.value.what();
                let message = format!("metadata is a boolean, a number or a string, not {what}");
                problems.add((layer, member.value.at), &path.key(&member.key), message);
            }
        }
    }
    fields
}

fn object<'a>(
    layer: usize,
    node: &'a Node,
    path: &Path<'_>,
    what: &str,
    problems: &mut Problems<'_>,
) -> Option<&'a [Member]> {
    match &node.json {
        Json::Object(members) => Some(members),
        _ => {
            let message = format!("{what} is an object, not {}", node.what());
            problems.add((layer, node.at), path, message);
            None
        }
    }
}
