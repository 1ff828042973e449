//! The journal as its callers meet it, on real files.

#[cfg(test)]
mod alike;
#[cfg(test)]
mod appends;
#[cfg(test)]
mod batching;
#[cfg(test)]
mod checking;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod older;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod ownership;
#[cfg(test)]
mod players;
#[cfg(test)]
mod redis;
#[cfg(test)]
mod room;
#[cfg(test)]
mod simulation;
