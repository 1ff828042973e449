//! What a contract becomes, rule by rule.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod document;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod templates;
