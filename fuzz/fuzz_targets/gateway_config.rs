//! The gateway's configuration: it is read, or there is a mistake with a place in it; and what is read decides about any request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_gateway::config;
use tminus_gateway::explain::{Question, explain};

fuzz_target!(|bytes: &[u8]| {
    let Ok(yaml) = std::str::from_utf8(bytes) else {
        return;
    };
    match config::parse(yaml, "gateway.yaml") {
        Ok(config) => {
            let question = Question {
                method: "GET".to_owned(),
                target: "http://play.example.com/v1/play?at=v1.3".to_owned(),
                headers: vec![("x-version".to_owned(), "v1.3".to_owned())],
                client: [203, 0, 113, 9].into(),
            };
            let _ = explain(&config, &question);
        }
        Err(error) => assert!(error.line >= 1 && error.column >= 1, "{error}"),
    }
});
