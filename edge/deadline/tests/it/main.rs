//! Deadlines: what headers say, what is left, and what happens when it passes.

#[cfg(test)]
mod budget;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod layer;
