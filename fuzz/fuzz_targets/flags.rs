//! A definition of feature flags. Whatever the bytes are, loading must not panic; every problem has a place in the text;
//! and a definition that is taken answers for any context, the same each time, with a variant of its own.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_flags::{Context, FlagSet};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let set = match FlagSet::parse(text) {
        Ok(set) => set,
        Err(problems) => {
            let lines = text.lines().count().max(1) + 1;
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| problem.line <= lines && !problem.message.is_empty()));
            return;
        }
    };
    let somebody = Context::of("ada").with("email", "ada@starvault.example").with("level", 7).with("x", vec!["on", "vip"]);
    for (key, flag) in set.iter() {
        for context in [&Context::default(), &somebody] {
            let answer = set.evaluate(key, context);
            assert_eq!(answer, set.evaluate(key, context));
            if let Ok(resolution) = answer {
                let named = resolution.variant.and_then(|variant| flag.variants.get(variant));
                assert_eq!(resolution.value, named);
            }
        }
    }
});
