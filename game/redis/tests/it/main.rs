//! Addresses beside a real Redis that speaks TLS.

#[cfg(test)]
mod tls;
