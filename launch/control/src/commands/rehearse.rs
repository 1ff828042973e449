//! `tminus rehearse`: the whole launch on this machine, with a fleet of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tminus_plan::{Fact, LaunchState};

use super::issue::{Pdf, acknowledged, finish, fonts, ready, told_again};
use super::package;
use crate::cli::Rehearse;
use crate::console::{Console, Paint};
use crate::engine::book::Book;
use crate::error::{CliError, Exit, Kind, Result};
use crate::fleet::Programs;
use crate::gates::journal::Journal;
use crate::gates::live::Live;
use crate::layout::{Layout, write_whole};
use crate::packages::{ROLES, WayBack};
use crate::session::{Beginning, Found, Session, Wish};
use crate::{fleet, keys, session, templates};

/// The plan of the nine things.
const SHIPPED_PLAN: &str = include_str!("../../../../plans/starvault.yaml");
const SHIPPED_PLAN_FILE: &str = "plans/starvault.yaml";

/// How long the plan's hours take in a rehearsal, in seconds.
const REHEARSAL_S: f64 = 192.0;

pub(super) async fn run(mut args: Rehearse) -> Result<Exit> {
    let console = Console::new();
    let programs = Programs::beside_this_one()?;
    let plan = match &args.plan {
        Some(file) => session::read_plan(file)?,
        None => session::parse_plan(SHIPPED_PLAN.to_owned(), SHIPPED_PLAN_FILE.to_owned())?,
    };
    // Before minutes of work, not after: without it there is no checklist at the end.
    let fonts = fonts()?;
    let layout = Layout::new(&args.out);
    let found = session::open(
        &layout,
        Wish {
            resume: args.resume,
            rehearsal: true,
        },
        &console,
    )?;
    let (mut book, begun) = match found {
        Found::Ended(book) => {
            made_good(&book, &layout, &console).await?;
            return told_again(&book, &layout, &console, args.json);
        }
        Found::Fresh(book) => (book, false),
        Found::Unfinished(book) => (book, true),
    };
    settle_settings(&mut args, &layout, begun, &console)?;
    let scale = plan.plan.ends_h() * 3_600.0 / REHEARSAL_S;
    let fault = args
        .fault
        .map(|f| format!(", canary with fault `{}`", f.name()))
        .unwrap_or_default();
    console.line(&console.paint(
        Paint::Open,
        &format!("REHEARSAL ×{scale:.0}  {} players{fault}", args.players),
    ));

    let session = Session::start(layout.clone(), console.clone(), &args.dashboard).await?;
    let fleet = fleet::launch(&programs, &layout, args.players, args.fault).await?;
    tracing::info!(children = fleet.pids(), "the fleet serves");
    let mut variables = rehearsal_variables(&args, &programs, &fleet, &layout);
    let artifacts = session::artifacts(&plan.plan, &mut variables)?;
    plan.plan
        .check_variables(variables.keys().map(String::as_str))
        .map_err(|e| {
            CliError::new(Kind::Plan, e.to_string()).hint("a rehearsal knows these variables and no others")
        })?;

    let own_signers = keys::rehearsal_roles(&layout.keys(), &plan.plan.roles())?;
    let readying = templates::Readying {
        variables: &variables,
        fonts: &fonts,
        layout: &layout,
        console: &console,
    };
    ready(begun.then_some(&book), &plan, &artifacts, &readying)?;
    if begun {
        console.line(&format!("going on with {} entries on record", book.size()));
    } else {
        let role_keys = own_signers
            .iter()
            .map(|(role, key)| (role.clone(), key.verifying_key().to_base64()))
            .collect();
        let beginning = Beginning {
            plan: &plan,
            rehearsal: true,
            clock_scale: scale,
            artifacts,
            role_keys,
        };
        session::begin(&mut book, &layout, beginning)?;
    }
    let acknowledged = acknowledged(&layout)?;
    let journal = Journal {
        program: programs.starvault.clone(),
        store: layout.store(),
    };
    let runner = Live {
        seed: args.seed,
        acknowledged,
        journal: Some(journal),
    };
    let ended_with = variables.clone();
    let issuer = Pdf {
        layout: layout.clone(),
        fonts,
        console: console.clone(),
    };
    let ended = session
        .run(
            book,
            Arc::new(runner),
            Arc::new(issuer),
            variables,
            own_signers,
            fleet.one_died(),
        )
        .await;
    let packed = match &ended {
        Ok((state, book)) => {
            console.now("sealing the checklist, trying the way back, making the packages");
            packages(state, book, &layout, &ended_with, &console).await
        }
        Err(_) => Ok(()),
    };
    console.now("stopping the fleet");
    fleet.stop().await;
    console.done();
    let (state, book) = ended?;
    packed?;
    finish(&state, &book, &layout, &console, args.json)
}

/// While the fleet still serves: the script that is handed out is made from what the gateway says, and run.
async fn packages(
    state: &LaunchState,
    book: &Book,
    layout: &Layout,
    variables: &BTreeMap<String, String>,
    console: &Console,
) -> Result<()> {
    seal(book, layout)?;
    let way_back = match package::way_back(state, variables).await {
        Ok(way) => Ok(package::tried(way, &layout.state()).await?),
        Err(why) => Err(why),
    };
    pack(book, layout, way_back, console)?;
    hand_out(book, layout, console).await
}

/// What a rehearsal that was cut off after its last entry still owes: seal, packages, delivery, form. Whatever is there
/// stays as it is.
async fn made_good(book: &Book, layout: &Layout, console: &Console) -> Result<()> {
    seal(book, layout)?;
    let packed = ROLES.iter().all(|role| layout.package(role).exists());
    if !packed {
        console.line("it was cut off before its packages were made: making them");
        let gone =
            "the rehearsal was cut off before its packages were made, and its gateway is gone".to_owned();
        pack(book, layout, Err(gone), console)?;
    }
    let form_is_there = feedback_url(book).is_none() || layout.after().exists();
    if packed && layout.delivery().exists() && form_is_there {
        return Ok(());
    }
    hand_out(book, layout, console).await
}

fn pack(
    book: &Book,
    layout: &Layout,
    way_back: std::result::Result<WayBack, String>,
    console: &Console,
) -> Result<()> {
    let sealer = super::seal::rehearsal_sealer(layout)?;
    for file in package::written(layout, book, way_back, Some(&sealer), console)? {
        console.line(&format!("package  {}", file.display()));
    }
    Ok(())
}

fn feedback_url(book: &Book) -> Option<&str> {
    book.facts().iter().rev().find_map(|(_, fact)| match fact {
        Fact::LaunchFinished { feedback_url, .. } => feedback_url.as_deref(),
        _ => None,
    })
}

/// Takes each package as its readers would, and opens the form behind the checklist's code.
async fn hand_out(book: &Book, layout: &Layout, console: &Console) -> Result<()> {
    let handed = super::deliver::handed_out(layout).await?;
    for tried in &handed.tried {
        console.line(&format!("delivery  {tried}"));
    }
    console.line(&format!(
        "          again: tminus deliver {} --record {} --key {}",
        handed.config.display(),
        layout.downloads().display(),
        layout.launch_key().display()
    ));
    if let Some(feedback_url) = feedback_url(book) {
        let config = super::after::tried(layout, feedback_url, &handed.taken_by).await?;
        console.line("feedback  the form behind the checklist's code opens");
        console.line(&format!(
            "          to answer it, and for what comes after: tminus after serve --config {}",
            config.display()
        ));
    }
    Ok(())
}

/// Unless it is sealed.
fn seal(book: &Book, layout: &Layout) -> Result<()> {
    let issued = book.facts().iter().rev().find_map(|(_, fact)| match fact {
        Fact::ChecklistIssued { bytes, .. } => Some(*bytes),
        _ => None,
    });
    match issued {
        Some(bytes) => super::seal::rehearsal(layout, bytes),
        None => Ok(()),
    }
}

/// What a rehearsal was begun with, so that a resume goes on with the same.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Settings {
    players: u32,
    seed: u64,
    fault: Option<crate::cli::Fault>,
}

fn settle_settings(args: &mut Rehearse, layout: &Layout, begun: bool, console: &Console) -> Result<()> {
    let file = layout.state().join("rehearsal.json");
    let given = Settings {
        players: args.players,
        seed: args.seed,
        fault: args.fault,
    };
    if !begun {
        return write_whole(
            &file,
            serde_json::to_string(&given).unwrap_or_default().as_bytes(),
        );
    }
    let text = std::fs::read_to_string(&file).map_err(|e| CliError::file("read", &file, &e))?;
    let begun_with: Settings = serde_json::from_str(&text).map_err(|e| {
        CliError::new(
            Kind::Environment,
            format!("{} cannot be read: {e}", file.display()),
        )
    })?;
    if begun_with != given {
        console.line("going on with the players, seed and fault that this rehearsal began with");
    }
    (args.players, args.seed, args.fault) = (begun_with.players, begun_with.seed, begun_with.fault);
    Ok(())
}

fn rehearsal_variables(
    args: &Rehearse,
    programs: &Programs,
    fleet: &fleet::Fleet,
    layout: &Layout,
) -> BTreeMap<String, String> {
    let path = |path: &Path| {
        std::path::absolute(path)
            .unwrap_or_else(|_| path.to_owned())
            .display()
            .to_string()
    };
    [
        ("gateway", fleet.gateway_url.clone()),
        ("gateway_admin", fleet.admin_url.clone()),
        ("gateway_config", path(&fleet.gateway_config)),
        ("stable", fleet.stable_url.clone()),
        ("canary", fleet.canary_url.clone()),
        ("stable_version", fleet::STABLE_VERSION.to_owned()),
        ("canary_version", fleet::CANARY_VERSION.to_owned()),
        ("players", args.players.to_string()),
        ("seed", args.seed.to_string()),
        ("tminus", session::own_program()),
        ("starvault", path(&programs.starvault)),
        ("gateway_program", path(&programs.gateway)),
        ("store", format!("sqlite:{}", path(&layout.store()))),
        ("acknowledged", path(&layout.acknowledged())),
        ("state", path(&layout.state())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
