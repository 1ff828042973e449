//! A PDF that claims to be a checklist. Whatever the bytes are, getting text and attached files out of it must not
//! panic.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: starvault_fuzz::leave_the_guard_alone(), |bytes: &[u8]| {
    let _ = tminus_checklist::page_texts(bytes, 100);
    let _ = tminus_checklist::attached_files(bytes);
});
