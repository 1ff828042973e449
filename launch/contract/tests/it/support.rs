//! Documents in memory, and what a comparison of two says.

use std::collections::{BTreeMap, BTreeSet};

use tminus_contract::{ContractError, Date, Files, Finding, Limits, Profile, Settings, Spec, compare};

/// Files by name.
#[derive(Debug, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Memory {
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
                .collect(),
        )
    }
}

impl Files for Memory {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        self.0.get(name).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

pub fn settings(profile: Profile) -> Settings {
    let mut settings = Settings::new(Date::parse("2026-06-01").unwrap());
    settings.profile = profile;
    settings
}

pub fn load(name: &str, text: &str) -> Result<Spec, ContractError> {
    Spec::load(name, &Memory::of(&[(name, text)]), &Limits::default())
}

pub fn diff_with(base: &str, revision: &str, settings: &Settings) -> Vec<Finding> {
    compare(
        &load("base.yaml", base).unwrap(),
        &load("revision.yaml", revision).unwrap(),
        settings,
    )
    .unwrap()
}

/// A document from its parts below the version.
pub fn document(version: &str, body: &str) -> String {
    format!("openapi: {version}\ninfo: {{ title: Things, version: '1' }}\n{body}")
}

pub fn ids(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().map(|it| it.rule.id).collect()
}

/// `error rule`, sorted as reported.
pub fn levelled(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|it| format!("{} {}", it.level, it.rule.id))
        .collect()
}
