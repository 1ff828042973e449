//! `tminus launch`: a plan against a backend that is there already.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::issue::{Pdf, acknowledged, finish, fonts, ready, told_again};
use crate::cli::Launch;
use crate::console::Console;
use crate::error::{CliError, Exit, Kind, Result};
use crate::gates::live::Live;
use crate::layout::Layout;
use crate::session::{Beginning, Found, PlanText, Session, Wish};
use crate::{keys, session, templates};

pub(super) async fn run(args: Launch) -> Result<Exit> {
    let console = Console::new();
    let plan = session::read_plan(&args.plan)?;
    let layout = Layout::new(&args.out);
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    variables.insert(
        "acknowledged".to_owned(),
        layout.acknowledged().display().to_string(),
    );
    variables.insert("tminus".to_owned(), session::own_program());
    variables.extend(args.vars.iter().cloned());
    let artifacts = session::artifacts(&plan.plan, &mut variables)?;
    plan.plan
        .check_variables(variables.keys().map(String::as_str))
        .map_err(|e| {
            CliError::new(Kind::Plan, e.to_string()).hint("give the variable a value with --var NAME=VALUE")
        })?;
    let role_keys = public_keys(&plan, &args.role_keys)?;
    let fonts = fonts()?;
    let found = session::open(
        &layout,
        Wish {
            resume: args.resume,
            rehearsal: false,
        },
        &console,
    )?;
    let (mut book, begun) = match found {
        Found::Ended(book) => return told_again(&book, &layout, &console, args.json),
        Found::Fresh(book) => (book, false),
        Found::Unfinished(book) => (book, true),
    };
    let readying = templates::Readying {
        variables: &variables,
        fonts: &fonts,
        layout: &layout,
        console: &console,
    };
    ready(begun.then_some(&book), &plan, &artifacts, &readying)?;
    if begun {
        let recorded = book.state()?.role_keys;
        if !role_keys.is_empty() && role_keys != recorded {
            return Err(
                CliError::usage("the role keys are not those that this launch began with")
                    .hint("leave --role-key out with --resume: the keys are on record"),
            );
        }
        console.line(&format!("going on with {} entries on record", book.size()));
    } else {
        let missing: Vec<&str> = plan
            .plan
            .roles()
            .into_iter()
            .filter(|role| !role_keys.contains_key(*role))
            .collect();
        if !missing.is_empty() {
            return Err(CliError::usage(format!(
                "the plan wants sign-offs by {}: no key given",
                missing.join(", ")
            ))
            .hint(format!(
                "add --role-key {}=FILE.pub for each; `tminus keygen FILE` makes a pair",
                missing[0]
            )));
        }
        let beginning = Beginning {
            plan: &plan,
            rehearsal: false,
            clock_scale: 1.0,
            artifacts,
            role_keys,
        };
        session::begin(&mut book, &layout, beginning)?;
    }
    let session = Session::start(layout.clone(), console.clone(), &args.dashboard).await?;
    let runner = Live {
        seed: 1,
        acknowledged: acknowledged(&layout)?,
        journal: None,
    };
    let issuer = Pdf {
        layout: layout.clone(),
        fonts,
        console: console.clone(),
    };
    let nothing = std::future::pending();
    let (state, book) = session
        .run(
            book,
            Arc::new(runner),
            Arc::new(issuer),
            variables,
            BTreeMap::new(),
            nothing,
        )
        .await?;
    finish(&state, &book, &layout, &console, args.json)
}

fn public_keys(plan: &PlanText, given: &[(String, String)]) -> Result<BTreeMap<String, String>> {
    let roles = plan.plan.roles();
    let mut keys_of = BTreeMap::new();
    for (role, file) in given {
        if !roles.contains(&role.as_str()) {
            return Err(CliError::usage(format!("the plan wants no sign-off by `{role}`"))
                .hint(format!("its roles are: {}", roles.join(", "))));
        }
        keys_of.insert(role.clone(), keys::load_public(Path::new(file))?.to_base64());
    }
    Ok(keys_of)
}
