//! What the crate promises, seen from outside.

mod definitions;
mod files;
mod oracle;
mod provider;
mod rules;
