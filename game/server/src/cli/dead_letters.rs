//! `starvault dead-letters`: ended games whose players could not be told.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::bail;
use clap::{Args, Subcommand};
use starvault_store::{DeadLetters, StoreAddress};

use super::data::{UrlText, runtime};

#[derive(Debug, Subcommand)]
pub(super) enum DeadLettersCommand {
    /// Show them: id, game, when, and what is wrong.
    List(ListArgs),
    /// Try one again, once what was wrong with it is mended.
    Replay(OneArgs),
    /// Forget one for good. The profiles of its players stay as they are.
    Drop(OneArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// The store: redis://HOST:PORT.
    #[arg(long, value_name = "STORE", env = "STARVAULT_STORE", hide_env_values = true)]
    store: UrlText,
    /// At most so many of each shard, the oldest first.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The store: redis://HOST:PORT.
    #[arg(long, value_name = "STORE", env = "STARVAULT_STORE", hide_env_values = true)]
    store: UrlText,
    /// As `list` shows it.
    id: String,
}

/// 0: done; 1: there is no such letter, or, of `list`, there are some.
pub(super) fn run(command: &DeadLettersCommand) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            DeadLettersCommand::List(arguments) => list(arguments).await,
            DeadLettersCommand::Replay(OneArgs { store, id }) => {
                let done = open(store).await?.replay(id).await?;
                Ok(told(done, id, "goes back into its stream"))
            }
            DeadLettersCommand::Drop(OneArgs { store, id }) => {
                let done = open(store).await?.drop_letter(id).await?;
                Ok(told(done, id, "is forgotten"))
            }
        }
    })
}

async fn open(store: &UrlText) -> anyhow::Result<DeadLetters> {
    match &store.store()? {
        StoreAddress::Redis(url) => Ok(DeadLetters::open(url).await?),
        StoreAddress::Sqlite(_) => bail!(
            "a journal in a file has no dead letters: a game's end and its players are written in one transaction"
        ),
    }
}

async fn list(arguments: &ListArgs) -> anyhow::Result<ExitCode> {
    let letters = open(&arguments.store).await?.list(arguments.limit).await?;
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&letters)?)?;
    } else if letters.is_empty() {
        writeln!(out, "no dead letters")?;
    } else {
        for letter in &letters {
            writeln!(
                out,
                "{} {} {} {}",
                letter.id, letter.game_id, letter.at_ms, letter.why
            )?;
        }
    }
    Ok(ExitCode::from(u8::from(!letters.is_empty())))
}

fn told(done: bool, id: &str, what: &str) -> ExitCode {
    if done {
        println!("{id} {what}");
        ExitCode::SUCCESS
    } else {
        eprintln!("starvault: there is no dead letter {id}");
        ExitCode::from(1)
    }
}
