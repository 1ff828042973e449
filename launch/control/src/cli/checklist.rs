//! `tminus checklist`: the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::name_value;

#[derive(Debug, Subcommand)]
pub enum ChecklistCommand {
    /// Make sample documents of a plan before its launch, with its templates, and read each of them back
    #[command(after_help = "\
Examples:
  tminus checklist try plans/my-launch.yaml --out sample
  tminus checklist template > house.typ                   a template of your own begins as a copy
  tminus checklist try plans/my-launch.yaml --template house.typ --out sample

Two launches that never were, each for internal readers and for customers: a smooth one, in
which everything passes, and a rough one, in which checks fail, cannot run or do not end. Each
page says SAMPLE. A field that a template drops, a number or tick that it alters, a character
without a glyph is named with its page; exit 1 then.")]
    Try(ChecklistTry),
    /// Print the template (Typst) that every release brings
    Template,
    /// Print the JSON Schema of the data that a template gets as data.json
    Schema,
}

impl ChecklistCommand {
    pub const fn wants_json(&self) -> bool {
        match self {
            Self::Try(args) => args.json,
            Self::Template | Self::Schema => false,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct ChecklistTry {
    /// The launch plan (YAML)
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// A template that the plan does not name yet, for the internal edition
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,
    /// The same for the edition for customers; without it, as --template
    #[arg(long, value_name = "FILE")]
    pub customer_template: Option<PathBuf>,
    /// Folder for the documents and, where something differs, pictures of it
    #[arg(long, value_name = "DIR", default_value = "sample")]
    pub out: PathBuf,
    /// A value for ${NAME} in the plan; repeatable
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = name_value)]
    pub vars: Vec<(String, String)>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
