//! Contracts written in the test that needs them.

use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::Value;
use tminus_openapi::{DescriptorPool, Dialect, GenerateError, Settings, generate};

/// The published definitions, as far as they matter here.
const ANNOTATIONS: &str = r#"
syntax = "proto3"; package google.api;
import "google/protobuf/descriptor.proto";
message HttpRule {
  string selector = 1;
  oneof pattern {
    string get = 2; string put = 3; string post = 4; string delete = 5; string patch = 6;
    CustomHttpPattern custom = 8;
  }
  string body = 7;
  string response_body = 12;
  repeated HttpRule additional_bindings = 11;
}
message CustomHttpPattern { string kind = 1; string path = 2; }
message HttpBody { string content_type = 1; bytes data = 2; }
enum FieldBehavior { FIELD_BEHAVIOR_UNSPECIFIED = 0; OPTIONAL = 1; REQUIRED = 2; OUTPUT_ONLY = 3; INPUT_ONLY = 4; }
extend google.protobuf.MethodOptions { HttpRule http = 72295728; }
extend google.protobuf.FieldOptions { repeated FieldBehavior field_behavior = 1052 [packed = false]; }
"#;

const HEAD: &str = r#"
import "google/api/annotations.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
"#;

struct InMemory(Vec<(&'static str, String)>);

impl FileResolver for InMemory {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| *known == name) {
            Some((name, source)) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The descriptors of files in package `t`, or in what the source itself says.
pub fn pool(sources: &[&str]) -> DescriptorPool {
    const NAMES: [&str; 2] = ["one.proto", "two.proto"];
    let mut files = vec![("google/api/annotations.proto", ANNOTATIONS.to_owned())];
    for (name, source) in NAMES.into_iter().zip(sources) {
        let package = if source.contains("package ") {
            ""
        } else {
            "package t;"
        };
        files.push((name, format!("syntax = \"proto3\"; {package}\n{HEAD}\n{source}")));
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(InMemory(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    for name in &NAMES[..sources.len()] {
        compiler.open_file(name).unwrap();
    }
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

pub fn settings(dialect: Dialect) -> Settings {
    Settings {
        dialect,
        title: "Test".into(),
        version: "v1".into(),
        ..Settings::default()
    }
}

/// The 3.1 document of one file, without notes.
pub fn document(source: &str) -> Value {
    document_in(Dialect::V3_1, source)
}

pub fn document_in(dialect: Dialect, source: &str) -> Value {
    generate(&pool(&[source]), &settings(dialect)).unwrap()
}

pub fn refusal(source: &str) -> GenerateError {
    generate(&pool(&[source]), &settings(Dialect::V3_1)).unwrap_err()
}

/// A service with one method `Call` from `Request` to `Answer`, annotated.
pub fn call(rule: &str, messages: &str) -> String {
    let answer = if messages.contains("message Answer") {
        ""
    } else {
        "message Answer {}"
    };
    format!(
        "service Svc {{ rpc Call(Request) returns (Answer) {{ option (google.api.http) = {{ {rule} }}; }} }}\n\
         {messages}\n{answer}"
    )
}
