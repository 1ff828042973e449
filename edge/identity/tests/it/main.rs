//! Tokens and sessions as their own encoders make them, and the table that puts both together.

#[cfg(test)]
mod decide;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod tokens;
