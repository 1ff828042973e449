//! A PDF that claims to be sealed. Whatever the bytes are, checking its seals must not panic, and what holds is of the key
//! that the seeds were sealed with: nobody else's key is to be had here.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_seal::{Roots, verify_seals};

/// The certificate of `seeds/seal/one.pdf`; its key was thrown away.
const SEALER: &str = include_str!("../seeds/seal/certificate.sha256");

fuzz_target!(init: starvault_fuzz::leave_the_guard_alone(), |bytes: &[u8]| {
    if let Ok(report) = verify_seals(bytes, &Roots::default()) {
        assert!(report.sealed_bytes <= bytes.len());
        assert_eq!(report.seals.is_empty(), report.sealed_bytes == bytes.len());
        for seal in &report.seals {
            assert_eq!(seal.certificate_sha256, SEALER.trim(), "sealed by somebody else");
        }
    }
});
