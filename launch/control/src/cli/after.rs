//! `tminus after`: the arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum AfterCommand {
    /// Serve the feedback form and a page of figures, watch for what needs a retrospective, make the tickets
    #[command(after_help = "\
Examples:
  tminus after check after.yaml                what it names, without serving
  tminus after serve --config after.yaml
  tminus after serve --config after.yaml --json

The configuration, whole (only `launch` must be there; relative paths are to the file's folder):
  launch: .                          # the launch's folder: record, downloads and keys are below it
  listen: 127.0.0.1:8090             # the form; put your reverse proxy with TLS before it
  admin: 127.0.0.1:8091              # figures and tickets; no sign-in, so loopback only
  trusted_proxies: [127.0.0.1]       # whose X-Forwarded-For is believed
  zone: Asia/Shanghai                # of readers of whom nothing else is known
  geoip: GeoLite2-City.mmdb          # optional
  owners: [sre]                      # else the owners of the plan's items
  tickets:
    jira:
      url: https://example.atlassian.net
      email: ops@example.com
      project: OPS
      token_file: keys/jira.token    # mode 0600
      mentions: { sre: 5b10ac8d82e05b22cc7d4ef5 }

A retrospective is raised when the canary was rolled back or the box is ticked, when one version was edited by hand
three times within 72 h, and when the ops package was downloaded and not carried out within 2 h. Each becomes one
ticket, also after a crash. docs/after-launch.md has the rest. Serves until it is asked to stop.")]
    Serve(AfterServe),
    /// Read scanned pages \"by hand\" (PNG, JPEG, PDF) and hand over what is ticked; exit 1 when a person must look
    #[command(after_help = "\
Examples:
  tminus after scan --config after.yaml page.png
  tminus after scan --config after.yaml scans/*.pdf --at 2026-11-29T14:30:00+08:00
  tminus after scan --config after.yaml page.jpg --json | jq '.pages[].unclear'

--at is when the page was filled in. Without it, the operation counts as carried out now, and the edit by hand as one
edit at the launch's end, however often the page is scanned. A PDF needs pdftoppm (Debian package poppler-utils).
A box that cannot be told is listed and not handed over; the clear ones are.")]
    Scan(AfterScan),
    /// Hand over what a script has done: an edit by hand, the operation, the emergency rollback
    #[command(after_help = "\
Examples:
  tminus after event operation-done --config after.yaml           at the end of a deploy hook
  tminus after event edited-by-hand --config after.yaml --version v2.3.1
  tminus after event emergency-rollback --config after.yaml       after rollback.sh

It is on disk when the command ends, whether `tminus after serve` runs or not. Saying it twice changes nothing, as long
as the time is the same: without --at it is now.")]
    Event(AfterEvent),
    /// The retrospectives that were raised, and where their tickets stand
    Tickets {
        #[command(subcommand)]
        command: TicketsCommand,
    },
    /// Read a configuration and what it names, and say what is wrong, where; nothing is sent or changed
    #[command(after_help = "\
Examples:
  tminus after check after.yaml
  tminus after check after.yaml --json")]
    Check(AfterCheck),
}

#[derive(Debug, Subcommand)]
pub enum TicketsCommand {
    /// List them
    #[command(after_help = "\
Examples:
  tminus after tickets list --config after.yaml
  tminus after tickets list --config after.yaml --json | jq '.retrospectives[].tickets'")]
    List(TicketsList),
    /// Try a ticket again that was given up, once the cause is mended
    #[command(after_help = "\
Example:
  tminus after tickets again 3f9ac2 --config after.yaml      the beginning of its id is enough")]
    Again(TicketsAgain),
}

impl AfterCommand {
    pub const fn wants_json(&self) -> bool {
        match self {
            Self::Serve(args) => args.json,
            Self::Scan(args) => args.json,
            Self::Event(args) => args.json,
            Self::Tickets {
                command: TicketsCommand::List(args),
            } => args.json,
            Self::Tickets {
                command: TicketsCommand::Again(args),
            } => args.json,
            Self::Check(args) => args.json,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct AfterServe {
    /// The configuration (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where it listens as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct AfterScan {
    /// The configuration (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Scans of the page by hand: PNG, JPEG or PDF
    #[arg(value_name = "PAGE", required = true)]
    pub pages: Vec<PathBuf>,
    /// When the pages were filled in, with its zone: 2026-11-29T14:30:00+08:00
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at: Option<u64>,
    /// The version that was edited by hand; the launch's own if not given
    #[arg(long, value_name = "NAME")]
    pub version: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventKind {
    /// Somebody changed a running version by hand
    EditedByHand,
    /// The operation that the ops package is for was carried out
    OperationDone,
    /// The emergency rollback was carried out
    EmergencyRollback,
}

#[derive(Debug, Clone, Args)]
pub struct AfterEvent {
    /// What happened
    #[arg(value_name = "WHAT", value_enum)]
    pub what: EventKind,
    /// The configuration (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// The version that was edited by hand; the launch's own if not given
    #[arg(long, value_name = "NAME")]
    pub version: Option<String>,
    /// When, with its zone: 2026-11-29T14:30:00+08:00; now if not given
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub at: Option<u64>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct TicketsList {
    /// The configuration (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct TicketsAgain {
    /// The id, or its beginning
    #[arg(value_name = "ID")]
    pub id: String,
    /// The configuration (YAML)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct AfterCheck {
    /// The configuration (YAML)
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Milliseconds since 1970-01-01 UTC.
fn moment(text: &str) -> Result<u64, String> {
    let at: jiff::Timestamp = text
        .parse()
        .map_err(|_| "expected a time with its zone: 2026-11-29T14:30:00+08:00 or …Z".to_owned())?;
    u64::try_from(at.as_millisecond()).map_err(|_| "that was before 1970".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_says_its_zone() {
        assert_eq!(moment("2026-11-22T22:00:00+08:00"), Ok(1_795_356_000_000));
        assert_eq!(moment("2026-11-22T14:00:00Z"), Ok(1_795_356_000_000));
        for bad in ["2026-11-22T14:00:00", "now", "1960-01-01T00:00:00Z"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
