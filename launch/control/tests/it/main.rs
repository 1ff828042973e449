//! Launch control as a whole: the engine over a real record, gates against real servers, the binary.

#[cfg(test)]
mod api_server;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod binary;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod contract_diff;
#[cfg(test)]
mod dashboard;
#[cfg(test)]
mod deadlines;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod gates;
#[cfg(test)]
mod hands;
#[cfg(test)]
mod http_route;
#[cfg(test)]
mod manifests;
#[cfg(test)]
mod nginx;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sign_offs;
#[cfg(test)]
mod team;
#[cfg(test)]
mod two_releases;
