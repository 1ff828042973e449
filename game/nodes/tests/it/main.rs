//! Nodes over a real Redis.

#[cfg(test)]
mod bus;
#[cfg(test)]
mod membership;
#[cfg(test)]
mod tickets;
