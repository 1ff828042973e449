//! What each command does. Each answers how it ended; errors go up to `main`.

mod after;
mod checklist;
mod contract_check;
mod contract_diff;
pub(crate) mod deliver;
mod gate;
mod issue;
mod launch;
pub(crate) mod package;
mod plan;
mod rehearse;
pub(crate) mod seal;
mod sign_off;
mod team;
mod verify;

use crate::cli::{Cli, Command, ContractCommand, Keygen, PackageCommand, PlanCommand};
use crate::error::{Exit, Result};
use crate::keys;

pub(crate) use issue::read_back;

/// Runs what was asked for.
///
/// # Errors
/// It could not be done; see [`CliError`].
pub async fn run(cli: Cli) -> Result<Exit> {
    match cli.command {
        Command::Rehearse(args) => rehearse::run(args).await,
        Command::Launch(args) => launch::run(args).await,
        Command::Plan {
            command: PlanCommand::Check(args),
        } => plan::check(&args),
        Command::Checklist { command } => checklist::run(&command),
        Command::Contract {
            command: ContractCommand::Check(args),
        } => contract_check::run(&args).await,
        Command::Contract {
            command: ContractCommand::Diff(args),
        } => contract_diff::diff(&args).await,
        Command::Contract {
            command: ContractCommand::Rules(args),
        } => Ok(contract_diff::rules(&args)),
        Command::Gate(args) => gate::run(&args).await,
        Command::SignOff(args) => sign_off::run(&args).await,
        Command::Approve(args) => sign_off::approve(&args).await,
        Command::Seal(args) => seal::run(&args).await,
        Command::Deliver(args) => deliver::run(&args).await,
        Command::After { command } => after::run(&command).await,
        Command::Package {
            command: PackageCommand::Make(args),
        } => package::make(&args).await,
        Command::Package {
            command: PackageCommand::Verify(args),
        } => package::verify(&args),
        Command::Team { command } => team::run(&command),
        Command::Verify(args) => verify::run(&args),
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
        Command::Checklist { command } => command.wants_json(),
        Command::Contract {
            command: ContractCommand::Check(args),
        } => args.json,
        Command::Contract {
            command: ContractCommand::Diff(args),
        } => args.is_json(),
        Command::Contract {
            command: ContractCommand::Rules(args),
        } => args.json,
        Command::Gate(args) => args.json,
        Command::SignOff(args) => args.json,
        Command::Approve(args) => args.json,
        Command::Seal(args) => args.json,
        Command::Deliver(args) => args.json,
        Command::After { command } => command.wants_json(),
        Command::Package {
            command: PackageCommand::Make(args),
        } => args.json,
        Command::Package {
            command: PackageCommand::Verify(args),
        } => args.json,
        Command::Team { command } => command.wants_json(),
        Command::Verify(args) => args.json,
        Command::Keygen(_) => false,
    }
}

fn keygen(args: &Keygen) -> Result<Exit> {
    let (public_file, public) = keys::generate(&args.file)?;
    println!("private  {}   (0600: keep it to yourself)", args.file.display());
    println!("public   {}   ({})", public_file.display(), public.to_base64());
    Ok(Exit::Ok)
}
