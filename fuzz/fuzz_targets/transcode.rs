//! A call over HTTP/JSON: `METHOD TARGET`, a line feed, and the body. Whatever the bytes are, nothing panics, and a
//! request that is taken is a message that can be written as JSON and read again to the same. The bytes are tried
//! as an answer, too.

#![no_main]

use std::sync::LazyLock;

use http::Method;
use libfuzzer_sys::fuzz_target;
use tminus_transcode::{Options, Transcoder};

static TRANSCODER: LazyLock<Transcoder> = LazyLock::new(|| {
    let mut compiler = protox::Compiler::new([concat!(env!("CARGO_MANIFEST_DIR"), "/../edge/transcode/tests/proto")])
        .expect("the folder of the cases");
    compiler.include_imports(true).open_file("cases/v1/cases.proto").expect("the cases");
    Transcoder::new(&compiler.encode_file_descriptor_set(), Options::default()).expect("rules that hold")
});

/// The JSON form of an item.
fn written(message: &[u8]) -> Option<Vec<u8>> {
    let route = TRANSCODER.route(&Method::GET, "/v1/items").expect("a rule");
    TRANSCODER.response(&route, message).ok().map(|payload| payload.bytes)
}

fn read(json: &[u8]) -> Option<Vec<u8>> {
    let route = TRANSCODER.route(&Method::POST, "/v1/items").expect("a rule");
    TRANSCODER.request(&route, None, None, json).ok()
}

fuzz_target!(|bytes: &[u8]| {
    // An answer need not be one that JSON can say, and an unknown Any cannot be read again.
    let _ = written(bytes);
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, body) = (String::from_utf8_lossy(&bytes[..end]), bytes.get(end + 1..).unwrap_or_default());
    let Some((method, target)) = line.split_once(' ') else { return };
    let Ok(method) = method.parse::<Method>() else { return };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Ok(route) = TRANSCODER.route(&method, path) else { return };
    let Ok(message) = TRANSCODER.request(&route, query, None, body) else { return };
    if TRANSCODER.rpc_path(&route).path().ends_with("/Create") {
        let json = written(&message).expect("what was read can be written");
        let again = read(&json).expect("what was written can be read");
        assert_eq!(written(&again), Some(json));
    }
});
