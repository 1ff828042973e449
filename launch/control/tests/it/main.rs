//! Launch control as a whole: the engine over a real record, gates against real servers, the binary.

#[cfg(test)]
mod after;
#[cfg(test)]
mod after_outside;
#[cfg(test)]
mod after_stage;
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
// The ticket systems' stand-ins, as the library's own tests use them.
#[cfg(test)]
#[path = "../../../after/tests/it/desk.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod desk;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod gates;
#[cfg(test)]
#[path = "../../../after/tests/it/geo_file.rs"]
mod geo_file;
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
mod templates;
#[cfg(test)]
mod two_releases;
