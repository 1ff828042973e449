//! The command line: what can be asked for, with help that teaches by example. Parses only.

pub mod after;
pub mod checklist;
pub mod contract_check;
pub mod contract_diff;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

const ABOUT_LONG: &str = "\
T-minus takes a backend from a signed load test to a finished canary inside 48 hours.

No tick without proof: every tick on the final checklist is evidence in a signed, append-only
record, and `tminus verify` checks it offline. A gate that did not run is never a tick.";

const EXAMPLES: &str = "\
Examples:
  tminus rehearse                         a whole launch on this machine, in about four minutes
  tminus rehearse --fault errors          the same with a faulty canary: it is rolled back
  tminus rehearse --resume                go on after a crash
  tminus plan check plans/my-launch.yaml  read a plan and say what is wrong with it, where
  tminus launch plans/my-launch.yaml --out launch --var gateway=http://127.0.0.1:8080
  tminus sign-off --out launch --item load-test --role qa --key qa.pem
  tminus contract check --spec openapi.json --url http://127.0.0.1:8080
  tminus verify out/checklist.pdf         check every tick against the record, offline
  tminus contract diff api/v1.yaml api/v2.yaml    what the second breaks for clients of the first

Exit codes: 0 all well, 1 a check failed, 2 could not run (the reason and what to do are printed).";

#[derive(Debug, Parser)]
#[command(name = "tminus", version, about = "Launch control: no tick without proof", long_about = ABOUT_LONG, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Rehearse a whole launch on this machine: backend, canary, gateway, players, checklist
    #[command(after_help = "\
Examples:
  tminus rehearse
  tminus rehearse --players 400 --seed 7 --out /tmp/rehearsal
  tminus rehearse --fault latency        the canary answers late; exit 1, item 9 crossed
  tminus rehearse --json | jq .totals

The plan's 48 hours pass in about three minutes; every page says REHEARSAL and how much faster.
Role sign-offs are signed by generated keys and say so. A finished rehearsal in the way is moved
aside to OUT.<launch id>.")]
    Rehearse(Rehearse),
    /// Run a plan against a backend that already runs
    #[command(after_help = "\
Examples:
  tminus launch plan.yaml --out launch \\
      --var gateway=http://127.0.0.1:8080 --var gateway_admin=http://127.0.0.1:8081 \\
      --role-key qa=qa.pub --role-key sre=sre.pub
  tminus launch plan.yaml --out launch --resume     go on after a crash or a reboot

The plan names its variables as ${name}. Nothing is started: the backend is yours.
While it runs, people sign with `tminus sign-off`; a gate that could not run is not checked,
and the reason is printed.")]
    Launch(Launch),
    /// Work with launch plans
    Plan {
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// The document at the end of a launch: what it will look like, and its template
    Checklist {
        #[command(subcommand)]
        command: checklist::ChecklistCommand,
    },
    /// What a service promises: two versions of it compared, or a running service beside it
    Contract {
        #[command(subcommand)]
        command: ContractCommand,
    },
    /// Run a plan's gates of one kind now, by themselves, and judge them: no record, no tick
    #[command(after_help = "\
Examples:
  tminus gate sessions plan.yaml --var gateway=http://127.0.0.1:8080
  tminus gate http plan.yaml --var gateway=http://127.0.0.1:8080 --json

For trying a gate out while a plan is written. What it finds is printed and kept nowhere; a launch
runs the gate again and records its evidence.")]
    Gate(Gate),
    /// Sign an item of a launch with a role's key, while it runs or between runs
    #[command(after_help = "\
Examples:
  tminus keygen qa.pem                                  makes qa.pem and qa.pem.pub
  tminus sign-off --out launch --item load-test --role qa --key qa.pem
  tminus sign-off --out launch --item load-test --role qa --key qa.pem \\
      --statement \"read the report, p99 is 31 ms\"

What is signed: the item, the role, your statement, and the root of the record that you signed on.")]
    SignOff(SignOff),
    /// Let a canary into the step that waits for an approval, while its gate runs
    #[command(after_help = "\
Examples:
  tminus approve --out launch --approval go-live --role sre --key sre.pem
  tminus approve --out launch --approval go-live --role sre --key sre.pem \\
      --statement \"watched 30 % for an hour, support has no calls\"

The plan names approvals at the steps that wait for one: steps: [0, 30, { weight: 100, approval: go-live }].
Who signs the item may approve. It is taken once the canary is at the step before, and goes on record:
the checklist shows who let it on, when, and what the record said then.")]
    Approve(Approve),
    /// Check a checklist against its record: every proof, every signature, every tick. Offline
    #[command(after_help = "\
Examples:
  tminus verify out/checklist.pdf
  tminus verify checklist.pdf --record /mnt/evidence/record --json
  tminus verify out/checklist.pdf --artifact starvault=/opt/starvault/bin/starvault   is this the build?
  tminus verify out/checklist.pdf --key \"$(cat launch.vkey)\"   trust this launch key and no other")]
    Verify(Verify),
    /// Seal a checklist: a PAdES signature that every PDF reader shows
    #[command(after_help = "\
Examples:
  tminus seal out/checklist.pdf --key seal.pem --certificate seal-chain.pem
  tminus seal out/checklist.pdf --key seal.p12 --tsa http://tsa.example/tsr
  tminus seal out/checklist.pdf --certificate seal-chain.pem \\
      --key 'pkcs11:token=launch;object=seal?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin'
  tminus seal out/checklist.pdf --key qa.pem --certificate qa-chain.pem --name \"QA\" --reason \"approved\"

Only a checklist that verifies against its record is sealed. The first seal certifies (DocMDP: only more seals may
follow), later ones approve. PIN and password are asked for, or read from a file; never given as an argument. A time
stamp authority that does not answer costs the time stamp, not the seal, and this is said.")]
    Seal(Seal),
    /// Make the packages of a finished launch, or check one
    Package {
        #[command(subcommand)]
        command: PackageCommand,
    },
    /// Hand the packages out: SFTP and a portal, each role its own; every download on record first
    #[command(after_help = "\
Examples:
  tminus deliver delivery.yaml --record launch/downloads --key launch/keys/launch.pem
  tminus deliver out/delivery.yaml --record out/downloads --key out/keys/launch.pem    a rehearsal's, again

The configuration names roles, keys, sign-in and links (docs/delivery.md). Serves until it is asked to stop.")]
    Deliver(Deliver),
    /// What goes on after a launch: feedback, scanned pages, what was done by hand, retrospectives and their tickets
    After {
        #[command(subcommand)]
        command: after::AfterCommand,
    },
    /// The record of all checklists of a team: publish one, compare two, watch that none is taken back
    Team {
        #[command(subcommand)]
        command: TeamCommand,
    },
    /// Make an Ed25519 key pair for a role: FILE (private, 0600) and FILE.pub
    #[command(after_help = "\
Example:
  tminus keygen qa.pem
  tminus launch plan.yaml --out launch --role-key qa=qa.pem.pub")]
    Keygen(Keygen),
}

#[derive(Debug, Clone, Args)]
pub struct Deliver {
    /// The delivery's configuration (YAML)
    #[arg(value_name = "CONFIG")]
    pub config: PathBuf,
    /// Folder of the record of downloads; begun when it is not there
    #[arg(long, value_name = "DIR")]
    pub record: PathBuf,
    /// The key that signs that record (PEM, from `tminus keygen` or the launch's own)
    #[arg(long, value_name = "PEM")]
    pub key: PathBuf,
    /// Where it listens as one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum TeamCommand {
    /// Put a checklist that verifies on the team's record
    #[command(after_help = "\
Example:
  tminus team publish out/checklist.pdf --team /srv/team-record --name starvault-team --key team.pem

The record is begun when it is not there. A checklist is entered once, however often it is published.")]
    Publish(TeamPublish),
    /// Show where two checklists are on the team's record, and prove that the later log continues the earlier one
    #[command(after_help = "\
Example:
  tminus team compare v1.2/checklist.pdf v1.3/checklist.pdf --team /srv/team-record --json")]
    Compare(TeamCompare),
    /// Say whether the team's record still continues what was seen of it last; exit 1 when it forked or lost entries
    #[command(after_help = "\
Example, from cron on a machine of somebody else:
  tminus team watch --team /mnt/team-record --seen ~/team.seen --key \"$(cat team.vkey)\"")]
    Watch(TeamWatch),
}

impl TeamCommand {
    pub const fn wants_json(&self) -> bool {
        match self {
            Self::Publish(args) => args.json,
            Self::Compare(args) => args.json,
            Self::Watch(args) => args.json,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct TeamPublish {
    /// The checklist PDF
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Folder of the team's record
    #[arg(long, value_name = "DIR")]
    pub team: PathBuf,
    /// Name of the record when it is begun; it keeps the one that it has
    #[arg(long, value_name = "NAME", default_value = "team")]
    pub name: String,
    /// The team's private key (PEM, from `tminus keygen`)
    #[arg(long, value_name = "PEM")]
    pub key: PathBuf,
    /// The launch's record; `record` beside the file if not given
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct TeamCompare {
    /// A checklist PDF
    #[arg(value_name = "FILE")]
    pub first: PathBuf,
    /// Another one
    #[arg(value_name = "FILE")]
    pub second: PathBuf,
    /// Folder of the team's record
    #[arg(long, value_name = "DIR")]
    pub team: PathBuf,
    /// The team's key to trust (a verifier key line as in the record's key.vkey)
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
    /// One JSON object on stdout, with the proofs
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct TeamWatch {
    /// Folder of the team's record
    #[arg(long, value_name = "DIR")]
    pub team: PathBuf,
    /// File with the last checkpoint that was seen; written when the record continues it
    #[arg(long, value_name = "FILE")]
    pub seen: PathBuf,
    /// The team's key to trust (a verifier key line as in the record's key.vkey)
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum PackageCommand {
    /// Write packages/{ops,security,customer} below the launch's folder, each also as a ZIP
    #[command(after_help = "\
Examples:
  tminus package make --out launch --var gateway_admin=http://127.0.0.1:8081

ops: the checklist, a rollback script made from what the router says now, a runbook. security: the checklist, the whole record, a
guide for verifying. customer: an edition without addresses, commands and notes, with a proof that what it shows is unchanged and how much
it leaves out. Each manifest is signed with the launch key and names what is not there, and why.")]
    Make(PackageMake),
    /// Check a package against its signed manifest, offline
    #[command(after_help = "\
Examples:
  tminus package verify out/packages/ops/ops.zip
  tminus package verify customer.zip --key \"$(cat published.vkey)\" --json")]
    Verify(PackageVerify),
}

#[derive(Debug, Clone, Args)]
pub struct PackageMake {
    /// The launch's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A value for ${NAME} in the plan; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_value)]
    pub vars: Vec<(String, String)>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct PackageVerify {
    /// The package's ZIP
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The launch key to trust (a verifier key line). Without it the package's own is used, which proves that the package
    /// is whole but not whose it is
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Read a plan and say what is wrong with it: file, line, what was expected
    #[command(after_help = "\
Examples:
  tminus plan check plans/my-launch.yaml
  tminus plan check plans/my-launch.yaml --json")]
    Check(PlanCheck),
}

#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    /// Say what a client written against BASE meets in REVISION (OpenAPI 3.0 or 3.1, JSON or YAML)
    #[command(after_help = contract_diff::DIFF_EXAMPLES)]
    Diff(contract_diff::ContractDiff),
    /// List the rules: name, level, what each speaks of
    #[command(after_help = "\
Examples:
  tminus contract rules
  tminus contract rules --json | jq -r '.rules[] | select(.level == \"error\") | .rule'")]
    Rules(contract_diff::ContractRules),
    /// Call every operation of a running service and compare each answer with its OpenAPI document
    #[command(after_help = contract_check::EXAMPLES)]
    Check(contract_check::ContractCheck),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A quarter of the canary's answers are errors
    Errors,
    /// Every answer of the canary is 400 ms late
    Latency,
    /// After a few seconds of traffic the canary never answers again
    Stall,
}

impl Fault {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Stall => "stall",
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct DashboardArgs {
    /// Address of the live dashboard; loopback only. Port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = loopback_address)]
    pub dashboard: SocketAddr,
    /// No dashboard, no port at all (sign-offs then only between runs)
    #[arg(long, visible_alias = "no-browser-port", conflicts_with = "dashboard")]
    pub no_dashboard: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Rehearse {
    /// Folder for the record, the checklist, keys, logs and the rehearsal's database
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Players that sign in and play
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(2..=20_000))]
    pub players: u32,
    /// Seed of every random choice of the players
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Start the canary with a fault that only a comparison with stable can find
    #[arg(long, value_enum)]
    pub fault: Option<Fault>,
    /// Go on with the unfinished rehearsal in --out
    #[arg(long)]
    pub resume: bool,
    /// One JSON object on stdout at the end; progress goes to stderr
    #[arg(long)]
    pub json: bool,
    /// Rehearse this plan instead of the shipped one
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub dashboard: DashboardArgs,
}

#[derive(Debug, Clone, Args)]
pub struct Launch {
    /// The launch plan (YAML)
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// Folder for the record, the checklist and the launch key
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// A value for ${NAME} in the plan; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_value)]
    pub vars: Vec<(String, String)>,
    /// The public key of a role that signs items; repeatable
    #[arg(long = "role-key", value_name = "ROLE=FILE", value_parser = name_value)]
    pub role_keys: Vec<(String, String)>,
    /// Go on with the unfinished launch in --out
    #[arg(long)]
    pub resume: bool,
    /// One JSON object on stdout at the end; progress goes to stderr
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub dashboard: DashboardArgs,
}

#[derive(Debug, Clone, Args)]
pub struct PlanCheck {
    /// The launch plan (YAML)
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Gate {
    /// The kind of gates, as the plan names it
    #[arg(value_name = "KIND")]
    pub kind: String,
    /// The launch plan (YAML)
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// A value for ${NAME} in the plan; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_value)]
    pub vars: Vec<(String, String)>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct SignOff {
    /// The launch's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The item's id as the plan has it, e.g. load-test
    #[arg(long, value_name = "ID")]
    pub item: String,
    /// The role that signs, e.g. qa
    #[arg(long, value_name = "ROLE")]
    pub role: String,
    /// The role's private key (PEM, from `tminus keygen`)
    #[arg(long, value_name = "PEM")]
    pub key: PathBuf,
    /// What the signer states
    #[arg(long, value_name = "TEXT", default_value = "approved")]
    pub statement: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Approve {
    /// The launch's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The approval as the plan's step names it, e.g. go-live
    #[arg(long, value_name = "NAME")]
    pub approval: String,
    /// The item whose canary it is, where several wait for an approval of this name
    #[arg(long, value_name = "ID")]
    pub item: Option<String>,
    /// The role that approves, e.g. sre
    #[arg(long, value_name = "ROLE")]
    pub role: String,
    /// The role's private key (PEM, from `tminus keygen`)
    #[arg(long, value_name = "PEM")]
    pub key: PathBuf,
    /// What the signer states
    #[arg(long, value_name = "TEXT", default_value = "approved")]
    pub statement: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// The checklist PDF
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The record; `record` beside the file if not given
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Certificates (PEM) that you trust to say whose a seal is; without them the report says that it was not asked
    #[arg(long, value_name = "FILE")]
    pub roots: Option<PathBuf>,
    /// The launch key to trust (a verifier key line as in record/key.vkey). Without it the record's
    /// own key is used, which proves consistency but not whose launch it was
    #[arg(long, value_name = "VKEY")]
    pub key: Option<String>,
    /// A build that you have, by the plan's name for it: whether it is the one that the launch was
    /// about; repeatable
    #[arg(long = "artifact", value_name = "NAME=FILE", value_parser = name_value)]
    pub artifacts: Vec<(String, String)>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Seal {
    /// The checklist PDF; it is replaced by the sealed one, whole or not at all
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The private key: a PEM file, a PKCS #12 file (.p12, .pfx) or a token (pkcs11:…)
    #[arg(long, value_name = "KEY")]
    pub key: String,
    /// The key's certificate and those that lead to a root (PEM), the key's own first
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// The record; `record` beside the file if not given
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// A time stamp authority (RFC 3161 over HTTP)
    #[arg(long, value_name = "URL")]
    pub tsa: Option<String>,
    /// Who seals, as readers show it
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Why, as readers show it
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "launch checklist, verified against its record"
    )]
    pub reason: String,
    /// File with the password of a PKCS #12 key in its first line; asked for if not given
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Write the sealed file here instead
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct Keygen {
    /// Where the private key goes; the public key goes to FILE.pub
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

fn loopback_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected ADDRESS:PORT, e.g. 127.0.0.1:7000".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("the dashboard has no sign-in, so it listens on loopback only (127.0.0.1 or [::1])".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_dashboard_is_refused_outside_loopback() {
        assert!(loopback_address("0.0.0.0:80").unwrap_err().contains("loopback"));
        assert!(loopback_address("127.0.0.1:0").is_ok());
        assert!(loopback_address("[::1]:0").is_ok());
    }

    #[test]
    fn variables_keep_everything_after_the_first_equals_sign() {
        assert_eq!(
            name_value("url=http://h/?a=b").unwrap(),
            ("url".to_owned(), "http://h/?a=b".to_owned())
        );
        assert!(name_value("=x").is_err());
        assert!(name_value("x").is_err());
    }
}
