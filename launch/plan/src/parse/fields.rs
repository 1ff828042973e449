//! Reading the fields of a mapping, with errors that say where, what and what instead.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::error::PlanError;
use crate::parse::node::{Entry, Node, Place, Value};
use crate::spec::Count;
use crate::variables::{VariableUse, variables_in};

/// The longest text of a plan's field, characters.
const TEXT_MAX: usize = 4000;

/// What every reader shares: the file's name for errors, and the variables seen so far.
#[derive(Debug, Clone)]
pub(super) struct Context {
    file: Rc<str>,
    variables: Rc<RefCell<Vec<VariableUse>>>,
}

impl Context {
    pub fn new(file: &str) -> Self {
        Self {
            file: file.into(),
            variables: Rc::default(),
        }
    }

    pub fn error(&self, place: Place, what: impl Into<String>, expected: impl Into<String>) -> PlanError {
        PlanError {
            file: self.file.to_string(),
            line: place.line,
            column: place.column,
            what: what.into(),
            expected: expected.into(),
        }
    }

    /// A place as evidence names it.
    pub fn place(&self, place: Place) -> String {
        format!("{}:{}:{}", self.file, place.line, place.column)
    }

    /// Uses of variables, each place once, in the order of the file.
    pub fn take_variables(&self) -> Vec<VariableUse> {
        let mut uses = self.variables.take();
        uses.sort_by(|a, b| (a.line, a.column, &a.name).cmp(&(b.line, b.column, &b.name)));
        uses.dedup();
        uses
    }

    /// A text that may be empty and holds no variables.
    pub fn plain(&self, node: &Node, name: &str) -> Result<String, PlanError> {
        match &node.value {
            Value::Text(text) if text.chars().count() <= TEXT_MAX => Ok(text.clone()),
            Value::Text(text) => Err(self.error(
                node.place,
                format!("`{name}` has {} characters", text.chars().count()),
                format!("at most {TEXT_MAX}"),
            )),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) => Err(self.error(
                node.place,
                format!(
                    "`{name}` is {}, which YAML does not read as text",
                    node.value.describe()
                ),
                "text; put it in quotes",
            )),
            other => Err(self.error(node.place, format!("`{name}` is {}", other.describe()), "text")),
        }
    }

    /// A text with something in it.
    pub fn text(&self, node: &Node, name: &str) -> Result<String, PlanError> {
        let text = self.plain(node, name)?;
        if text.trim().is_empty() {
            return Err(self.error(node.place, format!("`{name}` is empty"), "text"));
        }
        Ok(text)
    }

    /// A text in which `${name}` may stand.
    pub fn template(&self, node: &Node, name: &str) -> Result<String, PlanError> {
        let text = self.text(node, name)?;
        self.note_variables(node.place, &text)?;
        Ok(text)
    }

    pub fn note_variables(&self, place: Place, text: &str) -> Result<(), PlanError> {
        let names = variables_in(text).map_err(|what| {
            self.error(
                place,
                what,
                "`${name}`, a name of letters, digits, `_`, `.` and `-`",
            )
        })?;
        self.variables
            .borrow_mut()
            .extend(names.into_iter().map(|name| VariableUse {
                name: name.to_owned(),
                line: place.line,
                column: place.column,
            }));
        Ok(())
    }

    /// Lower-case words with hyphens: safe in file names, easy to say.
    pub fn slug(&self, node: &Node, name: &str, example: &str) -> Result<String, PlanError> {
        let text = self.text(node, name)?;
        let good = text.len() <= 40
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !text.ends_with('-');
        if good {
            Ok(text)
        } else {
            Err(self.error(
                node.place,
                format!("`{name}` is `{text}`"),
                format!("1 to 40 of a-z, 0-9 and `-`, beginning with a letter, e.g. `{example}`"),
            ))
        }
    }

    pub fn number(&self, node: &Node, name: &str, least: f64, most: f64) -> Result<f64, PlanError> {
        let expected = || format!("a number from {least} to {most}");
        let value = match node.value {
            Value::Integer(value) => value as f64,
            Value::Float(value) => value,
            _ => {
                return Err(self.error(
                    node.place,
                    format!("`{name}` is {}", node.value.describe()),
                    expected(),
                ));
            }
        };
        if (least..=most).contains(&value) {
            Ok(value)
        } else {
            Err(self.error(node.place, format!("`{name}` is {value}"), expected()))
        }
    }

    pub fn whole(&self, node: &Node, name: &str, least: u32, most: u32) -> Result<u32, PlanError> {
        match node.value {
            Value::Integer(value) if (i64::from(least)..=i64::from(most)).contains(&value) => {
                Ok(value as u32)
            }
            _ => Err(self.error(
                node.place,
                format!("`{name}` is {}", node.value.describe()),
                format!("a whole number from {least} to {most}"),
            )),
        }
    }

    pub fn count(&self, node: &Node, name: &str, least: u32, most: u32) -> Result<Count, PlanError> {
        match &node.value {
            Value::Text(text) if text.contains("${") => {
                self.note_variables(node.place, text)?;
                Ok(Count::Variable(text.clone()))
            }
            Value::Text(text) => Err(self.error(
                node.place,
                format!("`{name}` is `{text}`"),
                format!("a whole number from {least} to {most}, or a variable such as `${{players}}`"),
            )),
            _ => self.whole(node, name, least, most).map(Count::Number),
        }
    }

    pub fn flag(&self, node: &Node, name: &str) -> Result<bool, PlanError> {
        match node.value {
            Value::Bool(value) => Ok(value),
            _ => Err(self.error(
                node.place,
                format!("`{name}` is {}", node.value.describe()),
                "true or false",
            )),
        }
    }

    pub fn list<'n>(&self, node: &'n Node, name: &str, most: usize) -> Result<&'n [Node], PlanError> {
        match &node.value {
            Value::List(items) if items.len() <= most => Ok(items),
            Value::List(items) => Err(self.error(
                node.place,
                format!("`{name}` has {} entries", items.len()),
                format!("at most {most}"),
            )),
            other => Err(self.error(node.place, format!("`{name}` is {}", other.describe()), "a list")),
        }
    }

    pub fn entries<'n>(&self, node: &'n Node, name: &str) -> Result<&'n [Entry], PlanError> {
        match &node.value {
            Value::Map(entries) => Ok(entries),
            other => Err(self.error(
                node.place,
                format!("`{name}` is {}", other.describe()),
                "a mapping",
            )),
        }
    }

    /// A mapping of texts in which variables may stand.
    pub fn templates(&self, node: &Node, name: &str) -> Result<BTreeMap<String, String>, PlanError> {
        self.entries(node, name)?
            .iter()
            .map(|entry| {
                let text = self.plain(&entry.node, &entry.key)?;
                self.note_variables(entry.node.place, &text)?;
                Ok((entry.key.clone(), text))
            })
            .collect()
    }
}

/// The fields of one mapping, all of them known.
pub(super) struct Fields<'n> {
    pub context: Context,
    pub place: Place,
    /// `gate \`players\``, for errors.
    what: String,
    entries: &'n [Entry],
}

impl<'n> Fields<'n> {
    /// Refuses fields that are not among `known` at once: a misspelt field is then named as
    /// such, and not as a missing one.
    pub fn new(context: &Context, node: &'n Node, what: &str, known: &[&str]) -> Result<Self, PlanError> {
        let fields = Self::any(context, node, what)?;
        fields.only(known)?;
        Ok(fields)
    }

    /// The same without a look at the names.
    pub fn any(context: &Context, node: &'n Node, what: &str) -> Result<Self, PlanError> {
        let Value::Map(entries) = &node.value else {
            return Err(context.error(
                node.place,
                format!("{what} is {}", node.value.describe()),
                "a mapping",
            ));
        };
        Ok(Self {
            context: context.clone(),
            place: node.place,
            what: what.to_owned(),
            entries,
        })
    }

    pub fn only(&self, known: &[&str]) -> Result<(), PlanError> {
        match self
            .entries
            .iter()
            .find(|entry| !known.contains(&entry.key.as_str()))
        {
            None => Ok(()),
            Some(entry) => Err(self.context.error(
                entry.place,
                format!("unknown field `{}` in {}", entry.key, self.what),
                format!("one of {}", known.join(", ")),
            )),
        }
    }

    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == name)
            .map(|entry| &entry.node)
    }

    pub fn required(&self, name: &str) -> Result<&'n Node, PlanError> {
        self.get(name).ok_or_else(|| {
            self.context.error(
                self.place,
                format!("{} has no `{name}`", self.what),
                format!("the field `{name}`"),
            )
        })
    }

    pub fn text(&self, name: &str) -> Result<String, PlanError> {
        self.context.text(self.required(name)?, name)
    }

    pub fn template(&self, name: &str) -> Result<String, PlanError> {
        self.context.template(self.required(name)?, name)
    }

    pub fn slug(&self, name: &str, example: &str) -> Result<String, PlanError> {
        self.context.slug(self.required(name)?, name, example)
    }

    pub fn number(&self, name: &str, least: f64, most: f64) -> Result<f64, PlanError> {
        self.context.number(self.required(name)?, name, least, most)
    }

    pub fn number_or(&self, name: &str, default: f64, least: f64, most: f64) -> Result<f64, PlanError> {
        self.get(name)
            .map_or(Ok(default), |node| self.context.number(node, name, least, most))
    }

    pub fn whole(&self, name: &str, least: u32, most: u32) -> Result<u32, PlanError> {
        self.context.whole(self.required(name)?, name, least, most)
    }

    pub fn whole_or(&self, name: &str, default: u32, least: u32, most: u32) -> Result<u32, PlanError> {
        self.get(name)
            .map_or(Ok(default), |node| self.context.whole(node, name, least, most))
    }

    pub fn count(&self, name: &str, least: u32, most: u32) -> Result<Count, PlanError> {
        self.context.count(self.required(name)?, name, least, most)
    }

    pub fn flag_or(&self, name: &str, default: bool) -> Result<bool, PlanError> {
        self.get(name)
            .map_or(Ok(default), |node| self.context.flag(node, name))
    }

    pub fn templates(&self, name: &str) -> Result<BTreeMap<String, String>, PlanError> {
        self.get(name)
            .map_or_else(|| Ok(BTreeMap::new()), |node| self.context.templates(node, name))
    }

    pub fn error(&self, place: Place, what: impl Into<String>, expected: impl Into<String>) -> PlanError {
        self.context.error(place, what, expected)
    }
}
