//! What each command does. Each answers how it ended; errors go up to `main`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tminus_checklist::{DocumentModel, FontSource};
use tminus_plan::{Fact, LaunchState};
use tminus_record::VerifyingKey;

use crate::cli::{Cli, Command, Keygen, Launch, PlanCheck, PlanCommand, Rehearse, SignOff, Verify};
use crate::console::{Console, Paint};
use crate::dashboard::SignOffAccepted;
use crate::engine::book::{Book, Snapshot};
use crate::engine::sign_offs::{self, Signing};
use crate::engine::{Issued, Issuer};
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::fleet::{self, Programs};
use crate::gates::journal::{Acknowledged, Journal};
use crate::gates::live::Live;
use crate::layout::{Layout, write_whole};
use crate::session::{self, Beginning, Control, Found, PlanText, Session, Wish};
use crate::wall::{SystemWall, Wall as _};
use crate::{keys, report};

/// The plan of the nine things.
const SHIPPED_PLAN: &str = include_str!("../../../plans/starvault.yaml");
const SHIPPED_PLAN_FILE: &str = "plans/starvault.yaml";

/// How long the plan's hours take in a rehearsal, in seconds.
const REHEARSAL_S: f64 = 192.0;
const SIGN_OFF_ANSWER_MAX: Duration = Duration::from_secs(10);

/// Runs what was asked for.
///
/// # Errors
/// It could not be done; see [`CliError`].
pub async fn run(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Rehearse(args) => rehearse(args).await,
        Command::Launch(args) => launch(args).await,
        Command::Plan {
            command: PlanCommand::Check(args),
        } => plan_check(&args),
        Command::SignOff(args) => sign_off(args).await,
        Command::Verify(args) => verify(&args),
        Command::Keygen(args) => keygen(&args),
    }
}

/// Whether the command's result, errors too, is one JSON object on stdout.
pub const fn wants_json(cli: &Cli) -> bool {
    match &cli.command {
        Command::Rehearse(args) => args.json,
        Command::Launch(args) => args.json,
        Command::Plan {
            command: PlanCommand::Check(args),
        } => args.json,
        Command::SignOff(args) => args.json,
        Command::Verify(args) => args.json,
        Command::Keygen(_) => false,
    }
}

async fn rehearse(mut args: Rehearse) -> Result<Exit> {
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
        Found::Ended(book) => return told_again(&book, &layout, &console, args.json),
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
    if begun {
        session::check_unchanged(&book, &plan, &artifacts)?;
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
    let issuer = Pdf {
        layout: layout.clone(),
        fonts,
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
    console.now("stopping the fleet");
    fleet.stop().await;
    console.done();
    let (state, book) = ended?;
    finish(&state, &book, &layout, &console, args.json)
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
        ("stable", fleet.stable_url.clone()),
        ("canary", fleet.canary_url.clone()),
        ("stable_version", fleet::STABLE_VERSION.to_owned()),
        ("canary_version", fleet::CANARY_VERSION.to_owned()),
        ("players", args.players.to_string()),
        ("seed", args.seed.to_string()),
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

async fn launch(args: Launch) -> Result<Exit> {
    let console = Console::new();
    let plan = session::read_plan(&args.plan)?;
    let layout = Layout::new(&args.out);
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    variables.insert(
        "acknowledged".to_owned(),
        layout.acknowledged().display().to_string(),
    );
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
    if begun {
        session::check_unchanged(&book, &plan, &artifacts)?;
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

fn acknowledged(layout: &Layout) -> Result<Acknowledged> {
    let folder = layout.state().join("acknowledged");
    std::fs::create_dir_all(&folder).map_err(|e| CliError::file("create the folder", &folder, &e))?;
    Ok(Acknowledged {
        folder,
        merged: layout.acknowledged(),
    })
}

fn fonts() -> Result<FontSource> {
    FontSource::system().map_err(|e| {
        let it = from_part(Kind::Environment, "the checklist needs fonts", &e);
        match e {
            tminus_checklist::ChecklistError::NoCjkFont { .. } => it.hint("apt-get install fonts-noto-cjk"),
            _ => it,
        }
    })
}

/// Typesets the checklist and puts it into the launch's folder.
struct Pdf {
    layout: Layout,
    fonts: FontSource,
}

impl Issuer for Pdf {
    fn issue(&self, record: &Snapshot) -> Result<Issued> {
        use sha2::Digest as _;
        let told = |e: &tminus_checklist::ChecklistError| {
            from_part(Kind::Checklist, "the checklist", e)
                .hint("the record is whole: mend the cause, then --resume")
        };
        let model = DocumentModel::from_record(&record.entries, record.checkpoint.as_bytes(), &record.key)
            .map_err(|e| told(&e))?;
        let pdf = tminus_checklist::render(&model, &self.fonts).map_err(|e| told(&e))?;
        let file = self.layout.checklist();
        write_whole(&file, &pdf)?;
        Ok(Issued {
            file_name: file
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default(),
            sha256: hex::encode(sha2::Sha256::digest(&pdf)),
            bytes: pdf.len() as u64,
        })
    }
}

/// A launch that had ended before: its result once more.
fn told_again(book: &Book, layout: &Layout, console: &Console, as_json: bool) -> Result<Exit> {
    console.line(&format!(
        "{} has ended already: this is its result",
        layout.out.display()
    ));
    finish(&book.state()?, book, layout, console, as_json)
}

fn finish(
    state: &LaunchState,
    book: &Book,
    layout: &Layout,
    console: &Console,
    as_json: bool,
) -> Result<Exit> {
    let exit = report::exit(state);
    if as_json {
        println!("{}", report::to_json(state, book, layout, exit));
    } else {
        report::print(state, layout, console);
    }
    Ok(exit)
}

fn plan_check(args: &PlanCheck) -> Result<Exit> {
    let plan = session::read_plan(&args.plan)?.plan;
    let gates: usize = plan.items.iter().map(|i| i.gates.len()).sum();
    let to_come: usize = plan
        .items
        .iter()
        .flat_map(|i| &i.gates)
        .filter(|g| g.kind.is_to_come())
        .count();
    let mut variables: Vec<&str> = plan.variables.iter().map(|v| v.name.as_str()).collect();
    variables.sort_unstable();
    variables.dedup();
    if args.json {
        println!(
            "{}",
            json!({
                "ok": true, "name": plan.name, "version": plan.version, "hours": plan.ends_h(),
                "items": plan.items.len(), "gates": gates, "gates_to_come": to_come,
                "roles": plan.roles(), "variables": variables,
            })
        );
        return Ok(Exit::Ok);
    }
    println!("{}  {}", plan.name, plan.version);
    for item in &plan.items {
        let kinds: Vec<String> = item
            .gates
            .iter()
            .map(|g| {
                if g.kind.is_to_come() {
                    format!("({})", g.id)
                } else {
                    g.id.clone()
                }
            })
            .collect();
        let window = format!("T+{}–{} h", item.window.from_h, item.window.to_h);
        println!(
            "{:>3}  {}  {}",
            item.number,
            crate::console::pad(&window, 12),
            item.title.en
        );
        println!(
            "     gates: {}; signed by: {}",
            words(&kinds),
            words(&item.sign_offs)
        );
    }
    println!("variables: {}", words(&variables));
    if to_come > 0 {
        println!(
            "in brackets: {to_come} of {gates} gates are of kinds that this release cannot run (never ticked)"
        );
    }
    println!("{} is a good plan", args.plan.display());
    Ok(Exit::Ok)
}

fn words<T: AsRef<str>>(list: &[T]) -> String {
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
    }
}

async fn sign_off(args: SignOff) -> Result<Exit> {
    let key = keys::load(&args.key)?;
    let layout = Layout::new(&args.out);
    if !layout.has_record() {
        return Err(
            CliError::usage(format!("{} holds no launch", layout.out.display()))
                .hint("give --out the folder that `tminus launch` was given"),
        );
    }
    let accepted = match session::open_book(&layout) {
        Ok(mut book) => {
            let envelope = signed_now(&args, &key, &Seen::of(&book))?;
            sign_offs::accept(&mut book, &envelope)?.map_err(|why| refused(&args, &why))?
        }
        // The lock is held: a launch runs and owns the record, so it takes the envelope.
        Err(locked) => sign_with_running(&args, &key, &layout)
            .await
            .map_err(|e| e.unwrap_or(locked))?,
    };
    if args.json {
        println!(
            "{}",
            json!({ "ok": true, "item": accepted.item, "role": accepted.role, "entry": accepted.entry })
        );
    } else {
        println!(
            "{} signed by {}: entry {} of the record",
            accepted.item, accepted.role, accepted.entry
        );
    }
    Ok(Exit::Ok)
}

/// The record as the signer sees it.
struct Seen {
    root_hex: String,
    size: u64,
    subject: Vec<tminus_plan::Subject>,
}

impl Seen {
    fn of(book: &Book) -> Self {
        Self {
            root_hex: book.root_hex(),
            size: book.size(),
            subject: book.subject().to_vec(),
        }
    }
}

fn signed_now(args: &SignOff, key: &tminus_record::SigningKey, seen: &Seen) -> Result<Vec<u8>> {
    let what = Signing {
        item: &args.item,
        role: &args.role,
        statement: &args.statement,
        at_ms: SystemWall.now_ms(),
        record_root_hex: seen.root_hex.clone(),
        record_size: seen.size,
    };
    Ok(sign_offs::envelope(what, &seen.subject, key)?.to_bytes())
}

fn refused(args: &SignOff, why: &str) -> CliError {
    CliError::usage(format!(
        "the sign-off of `{}` by {} is refused: {why}",
        args.item, args.role
    ))
}

/// Posts the envelope to the launch that runs. `Err(None)`: none says that it runs.
async fn sign_with_running(
    args: &SignOff,
    key: &tminus_record::SigningKey,
    layout: &Layout,
) -> std::result::Result<SignOffAccepted, Option<CliError>> {
    let text = std::fs::read_to_string(layout.control()).map_err(|_| None)?;
    let control: Control = serde_json::from_str(&text).map_err(|_| None)?;
    // What the signer vouches for is read and proved by the signer, not told by the launch.
    let verified = tminus_record::verify(&layout.record(), None).map_err(|faults| {
        let told = faults.first().map(ToString::to_string).unwrap_or_default();
        Some(
            CliError::new(
                Kind::Record,
                format!("the record was changing while it was read: {told}"),
            )
            .hint("try again in a moment"),
        )
    })?;
    let mut subject = Vec::new();
    if let Some(first) = verified.entries.first() {
        match crate::engine::book::read_entry(first) {
            Ok((Fact::LaunchStarted { .. }, about)) => subject = about,
            _ => {
                return Err(Some(CliError::new(
                    Kind::Record,
                    "the record does not begin with a launch",
                )));
            }
        }
    }
    let seen = Seen {
        root_hex: hex::encode(verified.root),
        size: verified.size,
        subject,
    };
    let envelope = signed_now(args, key, &seen).map_err(Some)?;
    let client = crate::gates::http::client().map_err(|e| Some(CliError::new(Kind::Environment, e.why)))?;
    let answer = client
        .post(format!("{}api/sign-offs", control.url))
        .header("content-type", "application/json")
        .body(envelope)
        .timeout(SIGN_OFF_ANSWER_MAX)
        .send()
        .await
        .map_err(|e| {
            let why = crate::gates::http::words(&e);
            Some(CliError::new(
                Kind::Environment,
                format!("the running launch (pid {}) does not answer: {why}", control.pid),
            ))
        })?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status.is_success() {
        return serde_json::from_str(&text).map_err(|e| {
            Some(CliError::new(
                Kind::Environment,
                format!("the launch's answer cannot be read: {e}"),
            ))
        });
    }
    let why = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|v| v.get("error").and_then(|e| e.as_str()).map(str::to_owned))
        .unwrap_or(text);
    Err(Some(refused(args, &why)))
}

fn verify(args: &Verify) -> Result<Exit> {
    let record = args.record.clone().unwrap_or_else(|| {
        args.file
            .parent()
            .map_or_else(|| PathBuf::from("record"), |folder| folder.join("record"))
    });
    let trusted = args.key.as_deref().map(trusted_key).transpose()?;
    let report = tminus_checklist::verify(&args.file, &record, trusted.as_ref()).map_err(|e| {
        from_part(Kind::Checklist, "cannot verify", &e)
            .hint("give the PDF, and with --record the folder of its launch record")
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        let console = Console::new();
        for line in &report.lines {
            let sign = if line.ok {
                console.paint(Paint::Good, "✓")
            } else {
                console.paint(Paint::Bad, "✗")
            };
            println!("{sign} {}  {}", crate::console::pad(&line.part, 26), line.says);
        }
        let faults = report.lines.iter().filter(|line| !line.ok).count();
        if trusted.is_none() && report.ok {
            println!("  the launch key is the record's own; give --key to check whose launch it was");
        }
        println!();
        println!(
            "{}",
            if report.ok {
                "verified: every tick stands on evidence".to_owned()
            } else {
                format!("NOT verified: {faults} faults")
            }
        );
    }
    Ok(if report.ok { Exit::Ok } else { Exit::CheckFailed })
}

/// A verifier key line `origin+hash+key`, as in `record/key.vkey`, or the base64 of the key.
fn trusted_key(text: &str) -> Result<VerifyingKey> {
    let bad = || {
        CliError::usage("--key is not a verifier key")
            .hint("give the one line of the launch's record/key.vkey")
    };
    if let Ok((_, key)) = tminus_record::note::parse_verifier_line(text.trim()) {
        return Ok(key);
    }
    VerifyingKey::from_base64(text.trim()).map_err(|_| bad())
}

fn keygen(args: &Keygen) -> Result<Exit> {
    let (public_file, public) = keys::generate(&args.file)?;
    println!("private  {}   (0600: keep it to yourself)", args.file.display());
    println!("public   {}   ({})", public_file.display(), public.to_base64());
    Ok(Exit::Ok)
}
