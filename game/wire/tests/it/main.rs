//! The decoder of frames against everything that can arrive.

#[cfg(test)]
mod frames;
#[cfg(test)]
mod page;
#[cfg(test)]
mod protocol;
