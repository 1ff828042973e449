//! Deliveries on loopback: real clients, a stand-in for the OpenID provider, a real record.

#[cfg(test)]
mod config;
#[cfg(test)]
mod downloads;
#[cfg(test)]
mod links;
#[cfg(test)]
mod names;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod raw_sftp;
#[cfg(test)]
mod sftp;
#[cfg(test)]
mod sign_in;
#[cfg(test)]
mod support;
