//! A document for `tminus contract diff`. Whatever the bytes are, reading and comparing must not
//! panic, and what reads does not differ from itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_contract::{Date, Files, Limits, Settings, Spec, compare};

const BASE: &[u8] = include_bytes!("../seeds/contract_spec/small.yaml");

struct One<'a>(&'a [u8]);

impl Files for One<'_> {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        if name.starts_with("root.") {
            Ok(self.0.to_vec())
        } else {
            Err("no such file".to_owned())
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings::new(Date::new(2026, 1, 1).expect("a day"));
    let base = Spec::load("root.yaml", &One(BASE), &Limits::default()).expect("the seed reads");
    for name in ["root.json", "root.yaml"] {
        let Ok(spec) = Spec::load(name, &One(bytes), &Limits::default()) else {
            continue;
        };
        let _ = compare(&base, &spec, &settings);
        let _ = compare(&spec, &base, &settings);
        if let Ok(findings) = compare(&spec, &spec, &settings) {
            assert!(
                findings.iter().all(|it| it.rule.id == "api-invalid-stability-level"),
                "{findings:#?}"
            );
        }
    }
});
