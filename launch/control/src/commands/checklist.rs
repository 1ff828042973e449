//! `tminus checklist`: sample documents of a plan, and what a template begins with.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;
use tminus_checklist::{DATA_SCHEMA, TEMPLATE};
use tminus_plan::ArtifactDigest;

use super::issue::fonts;
use crate::cli::checklist::{ChecklistCommand, ChecklistTry};
use crate::console::{Console, claim};
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::layout::write_whole;
use crate::session;
use crate::templates::{self, EDITIONS, Templates, Trial, course_name};

/// Names of templates that the plan does not name; no artifact can be called so.
const GIVEN: [&str; 2] = ["--template", "--customer-template"];

pub(super) fn run(command: &ChecklistCommand) -> Result<Exit> {
    match command {
        ChecklistCommand::Try(args) => try_out(args),
        ChecklistCommand::Template => {
            print!("{TEMPLATE}");
            Ok(Exit::Ok)
        }
        ChecklistCommand::Schema => {
            print!("{DATA_SCHEMA}");
            Ok(Exit::Ok)
        }
    }
}

fn try_out(args: &ChecklistTry) -> Result<Exit> {
    let console = Console::new();
    let plan = session::read_plan(&args.plan)?;
    let fonts = fonts()?;
    let spec = &plan.plan.checklist;
    let given = [args.template.as_deref(), args.customer_template.as_deref()];
    // One that is given stands in for both of the plan's, which may not be there yet.
    let mut known = Templates::new();
    if given[0].is_none() {
        let variables: BTreeMap<String, String> = args.vars.iter().cloned().collect();
        known = templates::read(&plan.plan, &variables)?;
    }
    for (name, file) in GIVEN.into_iter().zip(given) {
        if let Some(file) = file {
            known.insert(name.to_owned(), read(file)?);
        }
    }
    let name = |at: usize| given[at].map(|_| GIVEN[at]);
    let internal = name(0).or(spec.template.as_deref());
    let customer = name(1).or(name(0)).or(spec.customer_template.as_deref());
    let digests = digests(&plan, &known);
    let trial = Trial {
        plan: &plan,
        digests: &digests,
        templates: &known,
        internal,
        customer,
        fonts: &fonts,
    };
    std::fs::create_dir_all(&args.out).map_err(|e| CliError::file("create the folder", &args.out, &e))?;
    let (mut documents, mut ok) = (Vec::new(), true);
    for (edition, course) in EDITIONS {
        let name = format!("{}-{}", edition.name(), course_name(course));
        console.now(&format!("typesetting {name} and reading it back"));
        let tried = trial.document(edition, course)?;
        let file = args.out.join(format!("{name}.pdf"));
        write_whole(&file, &tried.pdf)?;
        let pictures = tried
            .read
            .write_pictures(&args.out.join(format!("{name}-differs")))
            .map_err(|e| from_part(Kind::Checklist, "the pictures of what differs", &e))?;
        let findings: Vec<String> = tried.read.findings.iter().map(ToString::to_string).collect();
        ok &= findings.is_empty();
        if !args.json {
            console.done();
            let says = match findings.as_slice() {
                [] => format!("{} pages read back well", tried.read.pages.len()),
                _ => format!(
                    "does not read as its data say, in {} places:",
                    tried.read.findings_total
                ),
            };
            claim(&console, findings.is_empty(), &file.display().to_string(), &says);
            for finding in &findings {
                println!("    {finding}");
            }
            for picture in &pictures {
                println!("    see {}", picture.display());
            }
        }
        documents.push(json!({
            "file": file, "edition": edition.name(), "course": course_name(course), "template": trial.template(edition),
            "pages": tried.read.pages.len(), "findings": findings, "findings_total": tried.read.findings_total,
            "pictures": pictures,
        }));
    }
    console.done();
    if args.json {
        println!("{}", json!({ "ok": ok, "documents": documents }));
    }
    Ok(if ok { Exit::Ok } else { Exit::CheckFailed })
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| CliError::file("read the template", file, &e))
}

/// Of templates the true ones; other artifacts need not be built yet.
fn digests(plan: &session::PlanText, known: &Templates) -> Vec<ArtifactDigest> {
    let others = plan
        .plan
        .artifacts
        .iter()
        .filter(|artifact| !known.contains_key(&artifact.name));
    others
        .map(|artifact| templates::made_up(&artifact.name))
        .chain(known.iter().map(|(name, bytes)| templates::digest(name, bytes)))
        .collect()
}
