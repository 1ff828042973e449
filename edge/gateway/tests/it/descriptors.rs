//! Descriptor sets that a configuration names, good and bad.

use std::path::Path;

use tminus_gateway::{config, transcoding};

use super::cases::descriptors;
use super::support::{Settings, yaml};

/// What is said of a file, and where.
fn refused(folder: &Path, file: &str) -> String {
    let settings = Settings {
        stable: format!(", transcode: {{ descriptor_set: {file} }}"),
        ..Settings::default()
    };
    let address = "127.0.0.1:1".parse().unwrap();
    let yaml = yaml(address, address, &settings);
    let config = config::parse(&yaml, &folder.join("gateway.yaml").display().to_string()).unwrap();
    let error = transcoding::load(&config).expect_err("a mistake");
    // Where the file is named: the line of the backend, behind its version.
    assert_eq!(error.line, 6, "{error}");
    let line = yaml.lines().nth(5).unwrap();
    assert_eq!(error.column as usize, line.find(file).unwrap() + 1, "{error}");
    assert!(error.to_string().contains("gateway.yaml:6:"), "{error}");
    assert!(error.what.contains(file), "{error}");
    error.what
}

/// The descriptors of one method for each rule.
fn compiled(rules: &[&str]) -> Vec<u8> {
    let methods: String = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| format!("rpc M{index}(M) returns (M) {{ {rule} }}\n"))
        .collect();
    let text = format!(
        "syntax = \"proto3\";\npackage other;\nimport \"google/api/annotations.proto\";\n\
         message M {{ string a = 1; }}\nservice S {{ {methods} }}"
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.proto"), text).unwrap();
    let imports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../transcode/tests/proto");
    let mut compiler = protox::Compiler::new([folder.path(), &imports]).unwrap();
    compiler.include_imports(true).open_file("other.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, bytes: &[u8]| std::fs::write(path.join(name), bytes).unwrap();
    assert!(refused(path, "missing.binpb").contains("cannot be read"));
    std::fs::create_dir(path.join("folder.binpb")).unwrap();
    assert!(refused(path, "folder.binpb").contains("no regular file"));
    write("text.binpb", b"syntax = \"proto3\";");
    assert!(refused(path, "text.binpb").contains("descriptor set cannot be read"));
    let whole = descriptors();
    write("torn.binpb", &whole[..whole.len() - 7]);
    assert!(refused(path, "torn.binpb").contains("descriptor set cannot be read"));
    for (name, set) in [("empty.binpb", Vec::new()), ("plain.binpb", compiled(&[""]))] {
        write(name, &set);
        assert!(refused(path, name).contains("google.api.http"), "{name}");
    }
    let get = "option (google.api.http) = { get: \"/v1/{a}\" };";
    write("twice.binpb", &compiled(&[get, get]));
    let said = refused(path, "twice.binpb");
    assert!(
        said.contains("other.S.M0 and other.S.M1 both answer GET /v1/{a}"),
        "{said}"
    );
    write(
        "wrong.binpb",
        &compiled(&["option (google.api.http) = { get: \"/v1/{b}\" };"]),
    );
    assert!(refused(path, "wrong.binpb").contains("no field \"b\""));
    let large = std::fs::File::create(path.join("large.binpb")).unwrap();
    large.set_len(16 * 1024 * 1024 + 1).unwrap();
    assert!(refused(path, "large.binpb").contains("larger than 16777216 bytes"));
}
