//! `tminus contract diff` and `rules`: reads the files and the clock, prints what was found.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::json;
use tminus_contract::ignore::Sifted;
use tminus_contract::report::{Format, Report};
use tminus_contract::{
    ContractError, Date, Files, IgnoreList, Level, Limits, Profile, Settings, Spec, compare, severity,
};

use super::contract_check;
use crate::cli::contract_diff::{ContractDiff, ContractFormat, ContractRules, FailOn, Levels};
use crate::error::{CliError, Exit, Kind, Result, io_words};

/// A file of levels or of decisions.
const POLICY_BYTES_MAX: u64 = 1 << 20;

/// Files by the names that references lead to: paths, as seen from where the command runs; and the one that was fetched.
struct Disk {
    bytes_max: u64,
    fetched: Option<(String, Vec<u8>)>,
}

impl Files for Disk {
    fn read(&self, name: &str) -> std::result::Result<Vec<u8>, String> {
        if let Some((from, bytes)) = &self.fetched
            && from == name
        {
            return Ok(bytes.clone());
        }
        read(Path::new(name), self.bytes_max).map_err(|error| io_words(&error))
    }
}

/// One byte more than allowed at most: enough to see that it is too long.
fn read(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub(super) async fn diff(args: &ContractDiff) -> Result<Exit> {
    let settings = settings(args)?;
    let ignore = match &args.ignore {
        Some(path) => {
            let name = path.display().to_string();
            IgnoreList::parse(&name, &policy(path)?).map_err(refused)?
        }
        None => IgnoreList::default(),
    };
    let base = load(&args.base).await?;
    let revision = load(&args.revision).await?;
    let findings = compare(&base, &revision, &settings).map_err(refused)?;
    let sifted: Sifted = ignore.sift(findings, settings.today);
    let report = Report {
        base: &args.base,
        revision: &args.revision,
        sifted: &sifted,
        fail_on: match args.fail_on {
            FailOn::Error => Level::Error,
            FailOn::Warning => Level::Warning,
            FailOn::Info => Level::Info,
        },
    };
    let format = match args.format {
        _ if args.json => Format::Json,
        ContractFormat::Text => Format::Text,
        ContractFormat::Json => Format::Json,
        ContractFormat::Sarif => Format::Sarif,
        ContractFormat::Github => Format::Github,
        ContractFormat::Junit => Format::Junit,
        ContractFormat::Markdown => Format::Markdown,
    };
    print!("{}", report.render(format));
    Ok(if report.fails() {
        Exit::CheckFailed
    } else {
        Exit::Ok
    })
}

pub(super) fn rules(args: &ContractRules) -> Exit {
    let rules = tminus_contract::rules();
    if args.json {
        let list: Vec<_> = rules
            .iter()
            .map(|rule| {
                json!({
                    "rule": rule.id, "level": rule.level, "direction": rule.direction,
                    "area": rule.area, "kind": rule.kind, "action": rule.action,
                })
            })
            .collect();
        println!("{}", json!({ "ok": true, "rules": list }));
        return Exit::Ok;
    }
    for rule in rules {
        println!("{:<8} {}", rule.level, rule.id);
    }
    Exit::Ok
}

fn settings(args: &ContractDiff) -> Result<Settings> {
    let today = match &args.today {
        Some(text) => text.clone(),
        None => jiff::Zoned::now().date().to_string(),
    };
    let today = Date::parse(&today).map_err(|error| CliError::usage(format!("--today: {error}")))?;
    let mut settings = Settings::new(today);
    settings.profile = match args.levels {
        Levels::Ours => Profile::Strict,
        Levels::Oasdiff => Profile::Oasdiff,
    };
    settings.deprecation_days_stable = args.deprecation_days;
    settings.deprecation_days_beta = args.deprecation_days_beta;
    for one in &args.severity {
        match one.split_once('=') {
            Some((rule, level)) => {
                severity::set(&mut settings, "--severity", rule.trim(), level.trim()).map_err(refused)?;
            }
            None => {
                let text = policy(Path::new(one))?;
                severity::read(&mut settings, one, &text).map_err(refused)?;
            }
        }
    }
    Ok(settings)
}

fn policy(path: &Path) -> Result<String> {
    let bytes = read(path, POLICY_BYTES_MAX).map_err(|error| CliError::file("read", path, &error))?;
    if bytes.len() as u64 > POLICY_BYTES_MAX {
        return Err(CliError::usage(format!(
            "{} has more than {POLICY_BYTES_MAX} bytes",
            path.display()
        )));
    }
    String::from_utf8(bytes).map_err(|_| CliError::usage(format!("{} is not UTF-8", path.display())))
}

async fn load(name: &str) -> Result<Spec> {
    let limits = Limits::default();
    let bytes_max = limits.file_bytes_max as u64;
    let fetched = if contract_check::is_address(name) {
        Some((name.to_owned(), contract_check::fetch(name).await?.into_bytes()))
    } else {
        None
    };
    Spec::load(name, &Disk { bytes_max, fetched }, &limits).map_err(refused)
}

fn refused(error: ContractError) -> CliError {
    let hint = match &error {
        ContractError::Policy { .. } => None,
        ContractError::Read { .. } => {
            Some("give the two documents as paths or addresses: tminus contract diff BASE REVISION")
        }
        ContractError::Reference { .. } => Some("references are followed from the file that they stand in"),
        _ => Some("nothing is said about the two documents until both can be read whole"),
    };
    let it = CliError::new(Kind::Contract, error.to_string());
    match hint {
        Some(hint) => it.hint(hint),
        None => it,
    }
}
