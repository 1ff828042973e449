//! What a player, a server and a replay see of the rules.

#[cfg(test)]
mod clocks;
#[cfg(test)]
mod draws;
#[cfg(test)]
mod ends;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod stored_form;
#[cfg(test)]
mod table;
