use super::*;
use crate::matching::{Grpc, HeaderValueMatch, Host, Text};

const GOOD: &str = r#"listen: 127.0.0.1:8080
admin: 127.0.0.1:8081
sticky: [bearer-subject, "header:x-session-id", "cookie:sid", client-ip]
affinity_query: at
upstream_timeout_ms: 1500
backends:
  stable: { url: "http://127.0.0.1:9001", version: v1.2 }
  canary: { url: "http://127.0.0.1:9002", version: v1.3 }
rules:
  - { name: pin-v1.2, header: { x-version: v1.2 }, split: { stable: 100 } }
  - { name: article-split, header: { x-version: split }, split: { stable: 70, canary: 30 } }
default: { split: { stable: 100, canary: 0 } }
"#;

#[test]
fn the_example_is_read_as_written() {
    let config = parse(GOOD, "gateway.yaml").unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.limits.upstream_timeout, Duration::from_millis(1500));
    assert_eq!(config.limits.max_request_body_bytes, 1024 * 1024);
    assert_eq!(config.sticky.len(), 4);
    assert_eq!(config.affinity_query.as_deref(), Some("at"));
    let stable = config.routes.find("stable").unwrap();
    assert_eq!(config.backends[stable.0].port, 9001);
    assert_eq!(config.routes.default_split.weight_of(stable), Weight::WHOLE);
    assert_eq!(config.routes.rules[1].split.weight_of(stable).as_percent(), 70.0);
    let asked = &config.routes.rules[0].conditions.headers[0].1;
    assert_eq!(*asked, HeaderValueMatch::Text(Text::Exact("v1.2".to_owned())));
}

/// Replaces `from` in the good file and expects the mistake at this line with these words.
#[track_caller]
fn check(from: &str, to: &str, line: u64, words: &str) {
    assert!(GOOD.contains(from));
    let error = parse(&GOOD.replacen(from, to, 1), "gateway.yaml").unwrap_err();
    assert_eq!(error.line, line, "{error}");
    assert!(error.what.contains(words), "{error}");
    assert!(
        error.to_string().starts_with(&format!("gateway.yaml:{line}:")),
        "{error}"
    );
}

#[test]
fn every_mistake_is_told_with_its_line() {
    check("127.0.0.1:8080", "localhost", 1, "127.0.0.1:8080");
    check(
        "admin: 127.0.0.1:8081",
        "admin: 0.0.0.0:8081",
        2,
        "admin_allow_remote",
    );
    check("client-ip", "ip", 3, "client-ip");
    check("affinity_query: at", "affinity_query: 'a=b'", 4, "parameter name");
    check("1500", "0", 5, "between 1 and");
    check("1500", "soon", 5, "");
    check("http://127.0.0.1:9001", "https://127.0.0.1:9001", 7, "plain text");
    check(
        "http://127.0.0.1:9001",
        "127.0.0.1:9001",
        7,
        "http://127.0.0.1:9001",
    );
    check(
        "http://127.0.0.1:9001",
        "http://127.0.0.1:9001/api",
        7,
        "http://127.0.0.1:9001",
    );
    check("v1.2 }", "'v 1' }", 7, "version");
    check("v1.3", "v1.2", 7, "both serve version");
    check(
        "split: { stable: 100 }",
        "split: { stabel: 100 }",
        10,
        "the backends are canary, stable",
    );
    check("canary: 30", "canary: 20", 11, "add up to 90");
    check("name: article-split", "name: pin-v1.2", 11, "above already");
    check(
        "header: { x-version: split }",
        "header: {}",
        11,
        "match everything",
    );
    check(
        "header: { x-version: split }",
        "header: { 'x version': split }",
        11,
        "header name",
    );
    check(
        "stable: 100, canary: 0",
        "stable: 100, canary: 1",
        12,
        "add up to 101",
    );
    check("stable: 100, canary: 0", "stable: -1, canary: 101", 12, "");
    check("upstream_timeout_ms", "upstream_timeout", 5, "upstream_timeout");
    check(
        "listen: 127.0.0.1:8080\n",
        "listen: 127.0.0.1:8080\nlimits: { max_header_bytes: 100 }\n",
        2,
        "8192",
    );
    check(
        "listen: 127.0.0.1:8080\n",
        "listen: 127.0.0.1:8080\nlimits: { max_heder: 1 }\n",
        2,
        "max_heder",
    );
    check(
        "listen: 127.0.0.1:8080\n",
        "listen: 127.0.0.1:8080\nworkers: 0\n",
        2,
        "workers",
    );
    check("  canary: {", "  stable: {", 8, "stable");
}

/// The article's table with this instead of the condition of its first rule.
fn with_condition(condition: &str) -> Result<Config, ConfigError> {
    parse(
        &GOOD.replacen("header: { x-version: v1.2 }", condition, 1),
        "gateway.yaml",
    )
}

#[test]
fn a_rule_may_ask_for_host_path_method_service_and_headers() {
    let config = with_condition(
        "host: [play.example.com, '*.eu.example.com'], path: [/v1, { exact: /x }, { prefix: /y-, }, { regex: '/z/[0-9]+' }], \
         method: [GET, POST], grpc: starvault.v1.PlayerService/GetProfile, \
         header: { a: v, b: { prefix: p }, c: { regex: 'r+' }, d: { present: false }, e: { exact: '1.2' } }",
    );
    let conditions = config.unwrap().routes.rules.remove(0).conditions;
    let of = crate::matching::Path::Text;
    assert_eq!(
        conditions.hosts,
        [
            Host::parse("play.example.com").unwrap(),
            Host::parse("*.eu.example.com").unwrap()
        ]
    );
    assert_eq!(
        conditions.paths,
        [
            crate::matching::Path::Below("/v1".to_owned()),
            of(Text::Exact("/x".to_owned())),
            of(Text::Prefix("/y-".to_owned())),
            of(Text::regex("/z/[0-9]+").unwrap()),
        ]
    );
    assert_eq!(conditions.methods, ["GET", "POST"]);
    assert_eq!(
        conditions.grpc,
        [Grpc::parse("starvault.v1.PlayerService/GetProfile").unwrap()]
    );
    let values: Vec<_> = conditions.headers.into_iter().map(|(_, value)| value).collect();
    let text = HeaderValueMatch::Text;
    assert_eq!(
        values,
        [
            text(Text::Exact("v".to_owned())),
            text(Text::Prefix("p".to_owned())),
            text(Text::regex("r+").unwrap()),
            HeaderValueMatch::Present(false),
            text(Text::Exact("1.2".to_owned())),
        ]
    );
}

#[test]
fn a_condition_that_is_none_is_told_with_its_line() {
    for (condition, words) in [
        ("host: 'http://a'", "no host"),
        ("host: []", "leave the key out"),
        ("path: v1", "begins with '/'"),
        ("path: { exact: '/a?b' }", "no query"),
        ("path: { regex: '(' }", "no regular expression"),
        ("path: { suffix: a }", "of which any will do"),
        ("path: 5", "of which any will do"),
        ("method: get", "like GET"),
        ("grpc: 'a b'", "package.v1.Service"),
        ("header: { a: { prefix: '' } }", "present: true"),
        ("header: { a: { regex: '[' } }", "no regular expression"),
        ("header: { a: { present: yes, exact: b } }", "compared exactly"),
        ("header: { a: 5 }", "in quotes"),
        ("header: {}", "match everything"),
    ] {
        let error = with_condition(condition).unwrap_err();
        assert!(
            error.line == 10 && error.what.contains(words),
            "{condition}: {error}"
        );
    }
}

#[test]
fn pins_and_the_state_file() {
    let more = |more: &str| {
        parse(
            &GOOD.replace("rules:", &format!("{more}\nrules:")),
            "conf/gateway.yaml",
        )
    };
    let config = more("state_file: state.json\npins: { p-7: canary, p-8: stable }").unwrap();
    assert_eq!(config.state_file.as_deref(), Some(Path::new("conf/state.json")));
    let canary = config.routes.find("canary").unwrap();
    for source in &config.sticky {
        assert_eq!(config.routes.pins.get(&source.key_of(b"p-7")), Some(&canary));
    }
    for (wrong, words) in [
        ("pins: { p-7: canery }", "the backends are canary, stable"),
        ("pins: { '': canary }", "player's id"),
        ("state_file: ''", "must name a file"),
    ] {
        let error = more(wrong).unwrap_err();
        assert!(error.line == 9 && error.what.contains(words), "{wrong}: {error}");
    }
}

#[test]
fn a_descriptor_set_lies_beside_the_configuration() {
    let transcode = |settings: &str| {
        let settings = format!("version: v1.2, transcode: {{ {settings} }} }}");
        parse(
            &GOOD.replacen("version: v1.2 }", &settings, 1),
            "conf/gateway.yaml",
        )
    };
    let stable = |settings: &str| {
        let mut config = transcode(settings).unwrap();
        config.backends.remove(1).transcode.unwrap()
    };
    let plain = stable("descriptor_set: api.binpb");
    assert_eq!(plain.descriptor_set, Path::new("conf/api.binpb"));
    assert_eq!(
        (plain.max_response_bytes, plain.others),
        (4 * 1024 * 1024, Others::Pass)
    );
    let all = stable("descriptor_set: /etc/api.binpb, max_response_bytes: 5, others: refuse");
    assert_eq!(all.descriptor_set, Path::new("/etc/api.binpb"));
    assert_eq!((all.max_response_bytes, all.others), (5, Others::Refuse));
    for (settings, words) in [
        ("max_response_bytes: 5", "descriptor_set"),
        ("descriptor_set: ''", "must name a file"),
        (
            "descriptor_set: a, max_response_bytes: 0",
            "max_response_bytes must be between 1 and",
        ),
        ("descriptor_set: a, others: drop", "drop"),
        ("descriptor_set: a, limit: 1", "limit"),
    ] {
        let error = transcode(settings).unwrap_err();
        assert!(
            error.what.contains(words) && error.line == 7,
            "{settings}: {error}"
        );
    }
}

#[test]
fn remote_admin_is_a_choice() {
    let yaml = GOOD.replace(
        "admin: 127.0.0.1:8081",
        "admin: 0.0.0.0:8081\nadmin_allow_remote: true",
    );
    assert!(parse(&yaml, "gateway.yaml").is_ok());
}

#[test]
fn the_gate_of_launch_control_knows_the_same_names_and_defaults() {
    let milliseconds = |limit: Duration| Some(limit.as_millis() as u64);
    let set = GOOD.replace(
        "rules:",
        "limits:\n  connect_timeout_ms: 11\n  body_idle_timeout_ms: 12\n  upstream_idle_ms: 13\n  keep_alive_idle_ms: 14\nrules:",
    );
    for yaml in [GOOD.replace("upstream_timeout_ms: 1500\n", ""), set] {
        let limits = parse(&yaml, "gateway.yaml").unwrap().limits;
        let route = tminus_plan::deadlines::gateway_route(&yaml, "gateway.yaml").unwrap();
        let found = [&route.answer, &route.connect, &route.pool_idle, &route.keep_alive];
        assert_eq!(
            found.map(|limit| limit.as_ref().map(|limit| limit.ms)),
            [
                milliseconds(limits.upstream_timeout),
                milliseconds(limits.connect_timeout),
                milliseconds(limits.upstream_idle),
                milliseconds(limits.keep_alive_idle),
            ]
        );
        assert_eq!(Some(route.pauses[0].ms), milliseconds(limits.body_idle_timeout));
    }
}
