//! The crate from outside: rules by table, documents that cannot be read, decisions, reports.

#![allow(clippy::unwrap_used)]

mod documents;
mod operations;
mod policy;
mod reports;
mod schemas;
mod security;
mod support;
mod walking;
