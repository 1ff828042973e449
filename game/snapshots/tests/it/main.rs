//! Copies and comparisons, on real MariaDB servers and on SQLite files.

#[cfg(test)]
mod copying;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod mariadb;
#[cfg(test)]
mod mending;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod source;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod verifying;
