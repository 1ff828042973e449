//! A ZIP that claims to be a package. Whatever the bytes are, unpacking and checking must not panic; no name leads elsewhere; and
//! nothing but what the seed's key signed is a package.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_packages::{Disclosure, MANIFEST_FILE, unpack, verify_package};
use tminus_record::SigningKey;

fuzz_target!(|bytes: &[u8]| {
    let key = SigningKey::from_seed([7; 32]).verifying_key();
    let other = SigningKey::from_seed([8; 32]).verifying_key();
    if let Ok(disclosure) = serde_json::from_slice::<Disclosure>(bytes) {
        let _ = disclosure.verify(&disclosure.root, &serde_json::Value::Null);
    }
    let Ok(mut files) = unpack(bytes) else { return };
    for name in files.keys() {
        let leads_elsewhere = name.split('/').any(|part| part.is_empty() || part.starts_with('.'));
        assert!(!leads_elsewhere && !name.contains(['\\', ':', '\0']), "{name:?}");
    }
    assert!(!verify_package(&files, &other).ok, "signed by nobody");
    if verify_package(&files, &key).ok {
        // What holds no longer does with a file more.
        files.insert("more".to_owned(), Vec::new());
        assert!(!verify_package(&files, &key).ok);
    }
    files.insert(MANIFEST_FILE.to_owned(), bytes.to_vec());
    assert!(!verify_package(&files, &key).ok, "a ZIP is no manifest");
});
