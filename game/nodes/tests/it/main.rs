//! Nodes over a real Redis.

#[cfg(test)]
mod tickets;
