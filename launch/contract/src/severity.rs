//! Levels that a team gives to rules: `RULE LEVEL` a line, or `RULE=LEVEL` on the command line.

use crate::diff::Settings;
use crate::error::ContractError;
use crate::rules::{self, Level};

/// Takes one override in: `info`, `warning`, `error`, or `none`, which switches the rule off.
///
/// # Errors
/// There is no such rule, or no such level.
pub fn set(settings: &mut Settings, source: &str, rule: &str, level: &str) -> Result<(), ContractError> {
    let wrong = |what: String| ContractError::Policy {
        file: source.to_owned(),
        what,
    };
    let Some(found) = rules::rule(rule) else {
        return Err(wrong(format!(
            "no rule is called `{rule}`; `tminus contract rules` lists them all"
        )));
    };
    let level = match level {
        "none" | "off" => None,
        other => Some(Level::parse(other).ok_or_else(|| {
            wrong(format!(
                "`{other}` is no level for {rule}; expected error, warning, info or none"
            ))
        })?),
    };
    settings.levels.insert(found.id, level);
    Ok(())
}

/// Takes a file in: a line for each rule, the name and the level parted by a space, `:` or `=`.
/// Empty lines and what follows a `#` are skipped.
///
/// # Errors
/// As [`set`], with the line.
pub fn read(settings: &mut Settings, file: &str, text: &str) -> Result<(), ContractError> {
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let source = format!("{file}:{}", index + 1);
        let parts: Vec<&str> = line
            .split([' ', '\t', ':', '='])
            .filter(|part| !part.is_empty())
            .collect();
        let [rule, level] = parts[..] else {
            return Err(ContractError::Policy {
                file: source,
                what: "expected a rule and a level, as in `request-parameter-removed error`".to_owned(),
            });
        };
        set(settings, &source, rule, level)?;
    }
    Ok(())
}
