//! What the crate promises, seen from outside.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests write the files and start the program that they compare with"
)]

#[cfg(test)]
mod definitions;
#[cfg(test)]
mod files;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod rules;
