//! Histories made by hand, one for each way to lie, and histories of a real order, before and after each
//! kind of damage.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod generated;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod support;
#[cfg(test)]
mod world;
#[cfg(test)]
mod written;
