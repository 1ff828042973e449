//! `tminus after serve`, `scan`, `event`, `tickets` and `check`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tminus_after::paper::{About, Layout, TickState, events};
use tminus_after::tickets::State;
use tminus_after::triggers::{EMERGENCY_ROLLBACK, Event, Rules};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::after::inbox::Inbox;
use crate::after::scan::{Page, Read, pages};
use crate::after::sources::{self, Launch};
use crate::after::{
    self, AfterConfig, Kept, Listeners, Outside, Prepared, carrier, is_held, kept, stamp, words,
};
use crate::cli::after::{
    AfterCheck, AfterCommand, AfterEvent, AfterScan, AfterServe, EventKind, TicketsAgain, TicketsCommand,
    TicketsList,
};
use crate::error::{CliError, Exit, Kind, Result, from_part};
use crate::layout;
use crate::session;
use crate::wall::{SystemWall, Wall as _};

/// The form of a rehearsal opens within this.
const FORM_MAX: Duration = Duration::from_secs(30);
/// Two machines' clocks differ by less.
const AHEAD_MS_MAX: u64 = 5 * 60_000;

pub(super) async fn run(command: &AfterCommand) -> Result<Exit> {
    match command {
        AfterCommand::Serve(args) => serve(args).await,
        AfterCommand::Scan(args) => scan(args).await,
        AfterCommand::Event(args) => event(args),
        AfterCommand::Tickets {
            command: TicketsCommand::List(args),
        } => list(args),
        AfterCommand::Tickets {
            command: TicketsCommand::Again(args),
        } => again(args),
        AfterCommand::Check(args) => check(args),
    }
}

fn load(file: &Path) -> Result<AfterConfig> {
    AfterConfig::load(file).map_err(|e| from_part(Kind::Usage, "the configuration", &e))
}

async fn serve(args: &AfterServe) -> Result<Exit> {
    let config = load(&args.config)?;
    let listeners = Listeners::bind(&config).await?;
    let stop = CancellationToken::new();
    let serving = after::serve(&config, Outside::default(), listeners, stop.clone()).await?;
    if args.json {
        println!(
            "{}",
            json!({
                "ok": true, "launch": serving.launch, "form": format!("http://{}/feedback/", serving.public),
                "admin": format!("http://{}/", serving.admin), "sinks": serving.sinks, "state": config.state,
            })
        );
    } else {
        println!("launch   {}", serving.launch);
        println!("form     http://{}/feedback/…", serving.public);
        println!("figures  http://{}/", serving.admin);
        println!("tickets  {}", sinks_line(&serving.sinks));
        println!("state    {}", config.state.display());
    }
    let finished = serving.finished();
    tokio::pin!(finished);
    tokio::select! {
        ended = &mut finished => ended.map(|()| Exit::Ok),
        _ = session::signalled() => {
            stop.cancel();
            finished.await.map(|()| Exit::Ok)
        }
    }
}

fn sinks_line(sinks: &[&str]) -> String {
    if sinks.is_empty() {
        "none configured: retrospectives are shown by the page and by `tminus after tickets list` only"
            .to_owned()
    } else {
        sinks.join(", ")
    }
}

fn launch_of(config: &AfterConfig) -> Result<Launch> {
    sources::launch(&config.record).map_err(|why| {
        CliError::new(
            Kind::Record,
            format!("the launch's record in {}: {why}", config.record.display()),
        )
        .hint("`launch` in the configuration names the folder of the launch")
    })
}

/// Writes the configuration with which what comes after a rehearsal is served, serves it for a moment on free ports,
/// and opens the form behind the code on the checklist's last page. Nothing is answered. Nobody follows up a rehearsal's own
/// downloads: `ignore` names who made them.
///
/// # Errors
/// The form does not open.
pub(crate) async fn tried(layout: &layout::Layout, feedback_url: &str, ignore: &[String]) -> Result<PathBuf> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::new(
            Kind::Environment,
            format!("the form behind the checklist's code does not open: {why}"),
        )
    };
    let url = reqwest::Url::parse(feedback_url).map_err(|e| failed(&e))?;
    let mut yaml = "# What comes after this rehearsal: tminus after serve --config after.yaml\nlaunch: .\nplain_http: true\n"
        .to_owned();
    if let Some(port) = url.port().filter(|_| url.host_str() == Some("localhost")) {
        yaml += &format!("listen: 127.0.0.1:{port}\n");
    }
    // JSON is YAML, and quotes what has to be.
    yaml += &format!("ignore_downloads_by: {}\n", json!(ignore));
    let file = layout.after();
    layout::write_whole(&file, yaml.as_bytes())?;
    let config = load(&file)?;
    let free = async || TcpListener::bind(("127.0.0.1", 0)).await.map_err(|e| failed(&e));
    let listeners = Listeners {
        public: free().await?,
        admin: free().await?,
    };
    let stop = CancellationToken::new();
    let serving = after::serve(&config, Outside::default(), listeners, stop.clone()).await?;
    let asked = crate::gates::http::client()
        .map_err(|e| failed(&e.why))?
        .get(format!("http://{}{}", serving.public, url.path()))
        .timeout(FORM_MAX)
        .send()
        .await;
    stop.cancel();
    serving.finished().await?;
    let status = asked
        .map_err(|e| failed(&crate::gates::http::words(&e)))?
        .status();
    if status != reqwest::StatusCode::OK {
        return Err(failed(&status));
    }
    Ok(file)
}

/// A time that the triggers can take.
fn in_reach(at_ms: u64, now_ms: u64) -> Result<u64> {
    let keep_ms = Rules::default().keep_ms;
    if at_ms > now_ms + AHEAD_MS_MAX {
        return Err(CliError::usage(format!(
            "{} has not come yet; it is {}",
            stamp(at_ms, None),
            stamp(now_ms, None)
        )));
    }
    if at_ms < now_ms.saturating_sub(keep_ms) {
        return Err(CliError::usage(format!(
            "{} is more than {} days ago; nothing is decided by it any more",
            stamp(at_ms, None),
            keep_ms / (24 * 3_600_000)
        )));
    }
    Ok(at_ms)
}

/// What becomes of events that were handed over.
fn next(config: &AfterConfig) -> (bool, &'static str) {
    if is_held(&config.state) {
        (true, "`tminus after serve` takes it within seconds")
    } else {
        (
            false,
            "no `tminus after serve` runs with this state: the next one takes it",
        )
    }
}

fn event(args: &AfterEvent) -> Result<Exit> {
    let config = load(&args.config)?;
    let launch = launch_of(&config)?;
    let now_ms = SystemWall.now_ms();
    let at_ms = in_reach(args.at.unwrap_or(now_ms), now_ms)?;
    let event = match args.what {
        EventKind::EditedByHand => Event::EditedByHand {
            launch: launch.id,
            version: args.version.clone().unwrap_or(launch.version),
            at_ms,
        },
        EventKind::OperationDone => Event::OperationDone {
            launch: launch.id,
            file: config.ops_package.file.clone(),
            at_ms,
        },
        EventKind::EmergencyRollback => Event::Ticked {
            launch: launch.id,
            zone: EMERGENCY_ROLLBACK.to_owned(),
        },
    };
    let file = Inbox::new(&config.state).put(std::slice::from_ref(&event))?;
    let (is_served, says) = next(&config);
    if args.json {
        println!(
            "{}",
            json!({ "ok": true, "event": event, "file": file, "served": is_served })
        );
    } else {
        println!("handed over  {}\n{says}", words(&event));
    }
    Ok(Exit::Ok)
}

async fn scan(args: &AfterScan) -> Result<Exit> {
    let config = load(&args.config)?;
    let launch = launch_of(&config)?;
    let now_ms = SystemWall.now_ms();
    let at_ms = args.at.map(|at_ms| in_reach(at_ms, now_ms)).transpose()?;
    let version = args.version.as_deref().unwrap_or(&launch.version);
    let layout = Layout::of_a_checklist();
    let inbox = Inbox::new(&config.state);
    let (mut shown, mut handed) = (Vec::new(), Vec::new());
    let mut must_look = false;
    for file in &args.pages {
        for page in pages(file, &layout).await? {
            let (mut unclear, mut trouble) = (Vec::new(), None);
            match &page.read {
                Read::Ticks(ticks) => {
                    let about = About {
                        launch: &launch.id,
                        version,
                        // The same at every scan of the page, so that it counts once.
                        edited_at_ms: at_ms.or(launch.finished_at_ms).unwrap_or(0),
                        ops_package: &config.ops_package.file,
                        done_at_ms: at_ms.unwrap_or(now_ms),
                    };
                    let found = events(ticks, &about);
                    unclear = found.unclear;
                    if at_ms.is_none() && launch.finished_at_ms.is_none() && has_edit(&found.events) {
                        return Err(CliError::usage(format!(
                            "{}: a version was edited by hand, and the launch has not ended, so that nothing says when",
                            page.file
                        ))
                        .hint("give --at, the time on the page"));
                    }
                    if !found.events.is_empty() {
                        inbox.put(&found.events)?;
                    }
                    handed.extend(found.events);
                }
                Read::Other => {}
                Read::Unreadable(why) => trouble = Some(why.clone()),
            }
            must_look |= !unclear.is_empty() || trouble.is_some();
            if !args.json {
                tell(&page, trouble.as_deref());
            }
            shown.push(page_json(&page, &unclear, trouble.as_deref()));
        }
    }
    let (is_served, says) = next(&config);
    if args.json {
        println!(
            "{}",
            json!({ "ok": !must_look, "pages": shown, "events": handed, "served": is_served })
        );
    } else {
        for event in &handed {
            println!("handed over  {}", words(event));
        }
        match (handed.is_empty(), must_look) {
            (false, _) => println!("{says}"),
            (true, false) => println!("nothing is ticked"),
            (true, true) => {}
        }
        if must_look {
            println!("a person must look: hand over what the page says with `tminus after event`");
        }
    }
    Ok(if must_look { Exit::CheckFailed } else { Exit::Ok })
}

fn has_edit(events: &[Event]) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::EditedByHand { .. }))
}

fn tell(page: &Page, trouble: Option<&str>) {
    let place = format!("{} page {}", page.file, page.page);
    match &page.read {
        Read::Ticks(ticks) => {
            for tick in ticks {
                let word = match tick.state {
                    TickState::Ticked => "ticked",
                    TickState::Empty => "empty",
                    TickState::Unclear => "UNCLEAR",
                };
                println!("{place}  {:<20} {word}", tick.zone);
            }
        }
        Read::Other => println!("{place}  not a page by hand"),
        Read::Unreadable(_) => println!("{place}  NOT READ: {}", trouble.unwrap_or_default()),
    }
}

fn page_json(page: &Page, unclear: &[String], trouble: Option<&str>) -> Value {
    let ticks = match &page.read {
        Read::Ticks(ticks) => json!(ticks),
        Read::Other | Read::Unreadable(_) => Value::Null,
    };
    json!({ "file": page.file, "page": page.page, "ticks": ticks, "unclear": unclear, "trouble": trouble })
}

fn list(args: &TicketsList) -> Result<Exit> {
    let config = load(&args.config)?;
    let Kept { raised, outboxes } = kept(&config)?;
    let mut shown = Vec::new();
    for it in &raised {
        let id = &it.decision.id;
        let tickets: Vec<_> = outboxes
            .iter()
            .filter_map(|(sink, outbox)| outbox.get(id).map(|entry| (*sink, entry)))
            .collect();
        if args.json {
            let tickets: Vec<Value> = tickets
                .iter()
                .map(|(sink, entry)| json!({ "sink": sink, "entry": entry }))
                .collect();
            shown.push(json!({
                "id": id, "raised_at_ms": it.raised_at_ms, "decision": it.decision, "owners": it.owners, "tickets": tickets,
            }));
            continue;
        }
        let ticket = tminus_after::tickets::Ticket::retrospective(&it.decision, &it.owners);
        println!(
            "{}  {}  raised {}",
            &id[..12.min(id.len())],
            ticket.title,
            stamp(it.raised_at_ms, config.zone.as_ref())
        );
        for (sink, entry) in tickets {
            let state = carrier::words(entry, |at_ms| stamp(at_ms, config.zone.as_ref()));
            println!("    {sink:<8} {state}");
        }
    }
    if args.json {
        println!("{}", json!({ "ok": true, "retrospectives": shown }));
    } else if raised.is_empty() {
        println!("no retrospective was raised");
    }
    Ok(Exit::Ok)
}

fn again(args: &TicketsAgain) -> Result<Exit> {
    let config = load(&args.config)?;
    let Kept { raised, outboxes } = kept(&config)?;
    let id = &carrier::by_prefix(&raised, &args.id)?.decision.id;
    let mut ordered = Vec::new();
    for (sink, outbox) in &outboxes {
        let given_up = outbox
            .get(id)
            .is_some_and(|entry| matches!(entry.state, State::GaveUp { .. }));
        if given_up {
            carrier::order_again(&config.state, sink, id)?;
            ordered.push(*sink);
        }
    }
    let (is_served, says) = next(&config);
    if args.json {
        println!(
            "{}",
            json!({ "ok": !ordered.is_empty(), "id": id, "sinks": ordered, "served": is_served })
        );
    } else if ordered.is_empty() {
        println!("{id}: no sink has given it up; `tminus after tickets list` shows where it stands");
    } else {
        println!("{id}: tried again at {}\n{says}", ordered.join(", "));
    }
    Ok(if ordered.is_empty() {
        Exit::CheckFailed
    } else {
        Exit::Ok
    })
}

fn check(args: &AfterCheck) -> Result<Exit> {
    let config = load(&args.config)?;
    let prepared = Prepared::read(&config, &Outside::default().clock)?;
    let sinks: Vec<&str> = config.sinks.iter().map(|sink| sink.name()).collect();
    let is_served = is_held(&config.state);
    if args.json {
        println!(
            "{}",
            json!({
                "ok": true, "launch": prepared.launch.id, "version": prepared.launch.version, "listen": config.listen,
                "admin": config.admin, "sinks": sinks, "state": config.state, "served": is_served,
            })
        );
        return Ok(Exit::Ok);
    }
    println!("launch   {} {}", prepared.launch.id, prepared.launch.version);
    println!("form     http://{}/feedback/…", config.listen);
    println!("figures  http://{}/", config.admin);
    println!("tickets  {}", sinks_line(&sinks));
    println!(
        "state    {}{}",
        config.state.display(),
        if is_served {
            "   (a `tminus after serve` runs with it)"
        } else {
            ""
        }
    );
    println!("all that it names is there and can be read");
    Ok(Exit::Ok)
}
