//! The gate `deadlines`: how it is read, what does not fit, and what of a live service is a misalignment.

use proptest::prelude::*;
use tminus_plan::deadlines::{
    Finding, Hop, HopLeft, Late, Limit, Probe, Route, Rule, gateway_route, hops_left, late, misalignments,
    nginx_routes, nginx_time_ms, probed,
};
use tminus_plan::{DeadlinesSpec, GateKind, HopSource, Plan, Variables};

fn plan(fields: &str) -> Result<DeadlinesSpec, String> {
    let text = format!(
        "name: x\nversion: v1\nitems:\n  - id: item\n    number: 1\n    title: {{ zh: 甲, en: a }}\n    \
         window: {{ from_h: 0, to_h: 1 }}\n    owner: sre\n    criterion: {{ zh: 甲, en: a }}\n    gates:\n      \
         - id: gate\n        kind: deadlines\n        target: ${{gateway}}\n        budget_ms: 2000\n{fields}"
    );
    let plan = Plan::parse(&text, "x.yaml").map_err(|error| error.to_string())?;
    let variables: Variables = [("gateway", "http://g"), ("state", "/s")]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .into();
    match plan
        .resolve_gate("item", "gate", true, &variables)
        .map_err(|error| error.to_string())?
    {
        GateKind::Deadlines(spec) => Ok(spec),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_gate_is_read_with_its_variables_and_defaults() {
    let spec = plan("        hops: [{ name: gateway, gateway: \"${state}/gateway.yaml\" }]\n").unwrap();
    assert_eq!(
        (spec.target.as_str(), spec.budget_ms, spec.probes),
        ("http://g", 2000, 5)
    );
    assert_eq!(
        (spec.request.method.as_str(), spec.request.path.as_str()),
        ("GET", "/")
    );
    assert_eq!((&spec.slow.request, spec.slow.budget_ms), (&spec.request, 1.0));
    assert_eq!(spec.grpc, None);
    let hop = &spec.hops[0];
    assert_eq!(
        hop.source,
        HopSource::Gateway {
            path: "/s/gateway.yaml".into()
        }
    );
    assert!(hop.keeps_deadline && hop.seen);

    let more = r#"        hops:
          - { name: edge, nginx: "${state}/nginx.conf", location: /v1/ }
          - { name: app, limits: { timeout_ms: 500, attempts: 2 }, keeps_deadline: true, seen: false }
        request: { path: "/v1/x?of=${state}" }
        slow: { method: POST, path: /slow, body: "{}", budget_ms: 300 }
        grpc: {}
        rehearsal: { probes: 2 }
"#;
    let spec = plan(more).unwrap();
    assert_eq!((spec.probes, spec.request.path.as_str()), (2, "/v1/x?of=/s"));
    assert_eq!(
        (spec.slow.request.method.as_str(), spec.slow.budget_ms),
        ("POST", 300.0)
    );
    let grpc = spec.grpc.unwrap();
    assert_eq!(
        (grpc.method.as_str(), grpc.slow_budget_ms),
        ("/grpc.health.v1.Health/Check", 300.0)
    );
    assert!(!spec.hops[0].keeps_deadline && !spec.hops[0].seen);
    assert!(spec.hops[1].keeps_deadline && !spec.hops[1].seen);
    let HopSource::Given(route) = &spec.hops[1].source else {
        panic!()
    };
    let answer = route.answer.as_ref().unwrap();
    assert_eq!((answer.ms, route.attempts), (500, 2));
    assert!(answer.place.starts_with("x.yaml:17:"), "{}", answer.place);
}

#[test]
fn a_gate_that_could_find_nothing_is_told_so() {
    let hop = "        hops: [{ name: a, keeps_deadline: true }]\n";
    for (fields, told) in [
        (String::new(), "has no `hops`"),
        ("        hops: []\n".to_owned(), "`hops` is empty"),
        ("        hops: [{ name: a }]\n".to_owned(), "no limit is known"),
        (
            "        hops: [{ name: a, limits: { connect_ms: 1 } }]\n".to_owned(),
            "has no `timeout_ms`",
        ),
        (
            "        hops: [{ name: a, gateway: x, nginx: y }]\n".to_owned(),
            "more than one source",
        ),
        (
            "        hops: [{ name: a, gateway: x, location: / }]\n".to_owned(),
            "`location` without `nginx`",
        ),
        (
            "        hops: [{ name: a, keeps_deadline: true }, { name: a, keeps_deadline: true }]\n"
                .to_owned(),
            "a second hop `a`",
        ),
        (
            "        hops: [{ name: A b, keeps_deadline: true }]\n".to_owned(),
            "`name` is `A b`",
        ),
        (
            format!("{hop}        slow: {{ method: POST }}\n"),
            "unknown field `method`",
        ),
        (
            format!("{hop}        slow: {{ budget_ms: 0 }}\n"),
            "`budget_ms` is 0",
        ),
        (
            format!("{hop}        grpc: {{ method: Check }}\n"),
            "`method` is `Check`",
        ),
        (format!("{hop}        request: {{ path: x }}\n"), "`path` is `x`"),
        (
            format!("{hop}        rehearsal: {{ budget_ms: 9 }}\n"),
            "`budget_ms`",
        ),
        (
            "        hops: [{ name: a, gateway: \"${nobody}\" }]\n".to_owned(),
            "nobody",
        ),
    ] {
        let error = plan(&fields).unwrap_err();
        assert!(error.contains(told), "{fields}\n{error}");
    }
}

fn limit(ms: u64) -> Option<Limit> {
    Some(Limit {
        ms,
        name: "t".into(),
        place: "f:1:1".into(),
    })
}

fn hop(name: &str, keeps_deadline: bool, route: Route) -> Hop {
    Hop {
        name: name.into(),
        keeps_deadline,
        routes: vec![route],
    }
}

fn answers(ms: u64) -> Route {
    Route {
        answer: limit(ms),
        ..Route::default()
    }
}

#[track_caller]
fn check(hops: &[Hop], expected: &[(Rule, &str)]) {
    let findings = misalignments(2_000, hops);
    let found: Vec<(Rule, &str)> = findings.iter().map(|it| (it.rule, it.hop.as_str())).collect();
    assert_eq!(found, expected, "{findings:?}");
}

#[test]
fn limits_are_held_to_whoever_waits() {
    use Rule::{
        ConnectLongerThanBudget, IdleLongerThanBudget, IdleLongerThanNextHop, RetriesExceedBudget,
        TimeoutNotBelowCaller,
    };
    // Each hop is shorter than the one before it.
    check(
        &[hop("a", false, answers(1_999)), hop("b", false, answers(1_998))],
        &[],
    );
    check(
        &[hop("a", false, answers(2_000))],
        &[(TimeoutNotBelowCaller, "a")],
    );
    check(
        &[hop("a", false, answers(1_000)), hop("b", false, answers(1_000))],
        &[(TimeoutNotBelowCaller, "b")],
    );
    // What is handed on and kept is shorter than any limit of one's own.
    check(
        &[hop("a", true, answers(1_000)), hop("b", true, answers(10_000))],
        &[],
    );
    check(
        &[hop("a", false, answers(1_000)), hop("b", true, answers(10_000))],
        &[(TimeoutNotBelowCaller, "b")],
    );
    check(
        &[hop("a", true, answers(1_000)), hop("b", false, answers(10_000))],
        &[(TimeoutNotBelowCaller, "b")],
    );
    // A caller need not name its budget.
    check(&[hop("a", true, answers(2_000))], &[(TimeoutNotBelowCaller, "a")]);
    // Without a limit of its own a hop waits as long as the one before.
    check(
        &[hop("a", true, Route::default()), hop("b", false, answers(2_000))],
        &[(TimeoutNotBelowCaller, "b")],
    );
    // One of several ways is enough, and the shortest one is held against the next hop.
    let two = Hop {
        name: "a".into(),
        keeps_deadline: false,
        routes: vec![
            answers(500),
            Route {
                name: "location /x".into(),
                ..answers(2_500)
            },
        ],
    };
    check(
        &[two, hop("b", false, answers(500))],
        &[
            (TimeoutNotBelowCaller, "a, location /x"),
            (TimeoutNotBelowCaller, "b"),
        ],
    );

    let connects = |ms, covers| Route {
        connect: limit(ms),
        answer_covers_connect: covers,
        ..answers(1_500)
    };
    check(&[hop("a", false, connects(499, false))], &[]);
    check(
        &[hop("a", false, connects(500, false))],
        &[(TimeoutNotBelowCaller, "a")],
    );
    check(&[hop("a", false, connects(500, true))], &[]);
    check(
        &[hop("a", false, connects(2_000, false))],
        &[(ConnectLongerThanBudget, "a")],
    );

    let tries = |attempts, retry: Option<Limit>| Route {
        attempts,
        retry,
        ..answers(700)
    };
    check(&[hop("a", false, tries(2, None))], &[]);
    check(&[hop("a", false, tries(3, None))], &[(RetriesExceedBudget, "a")]);
    check(&[hop("a", false, tries(3, limit(1_299)))], &[]);
    check(
        &[hop("a", false, tries(3, limit(1_300)))],
        &[(RetriesExceedBudget, "a")],
    );

    let pauses = |ms| Route {
        pauses: limit(ms).into_iter().collect(),
        ..answers(1)
    };
    check(&[hop("a", true, pauses(1_999))], &[]);
    check(&[hop("a", true, pauses(2_000))], &[(IdleLongerThanBudget, "a")]);

    let pool = |ms| Route {
        pool_idle: limit(ms),
        ..answers(1_000)
    };
    let keeps = |ms| Route {
        keep_alive: limit(ms),
        ..answers(500)
    };
    check(
        &[hop("a", false, pool(1_999)), hop("b", false, keeps(2_000))],
        &[],
    );
    check(&[hop("a", false, pool(2_000))], &[(IdleLongerThanBudget, "a")]);
    check(
        &[hop("a", false, pool(1_000)), hop("b", false, keeps(1_000))],
        &[(IdleLongerThanNextHop, "a")],
    );
    check(&[hop("a", false, pool(1_000)), hop("b", false, keeps(0))], &[]);
    // How long callers' connections may be idle keeps nobody waiting.
    check(
        &[hop(
            "a",
            false,
            Route {
                keep_alive: limit(75_000),
                ..answers(1)
            },
        )],
        &[],
    );
}

#[test]
fn a_finding_names_rule_place_numbers_and_remedy() {
    let found = misalignments(2_000, &[hop("edge", false, answers(60_000))]);
    assert_eq!(
        found[0].to_string(),
        "timeout-not-below-caller: f:1:1: edge: t is 60000 ms, and the caller waits 2000 ms; set it below 2000 ms"
    );
}

#[test]
fn hops_are_read_from_server_timing() {
    let hops = hops_left([
        "db;dur=53, deadline-app;dur=284.5",
        "deadline-gateway;desc=x;DUR=\"299\", deadline-x, deadline-y;dur=soon, deadline-;dur=1, deadline-z;dur=-1",
        "deadline-w;dur=inf",
    ]);
    let hop = |name: &str, left_ms| HopLeft {
        name: name.into(),
        left_ms,
    };
    assert_eq!(hops, [hop("app", 284.5), hop("gateway", 299.0)]);
    assert_eq!(hops_left(vec!["deadline-a;dur=1"; 1_000]).len(), 64);
}

#[test]
fn what_is_left_shrinks_from_hop_to_hop() {
    use Rule::{AddsTime, HopNotSeen};
    let probe = |hops: &[(&str, f64)]| Probe {
        hops: hops
            .iter()
            .map(|(name, left_ms)| HopLeft {
                name: (*name).into(),
                left_ms: *left_ms,
            })
            .collect(),
    };
    type Row<'a> = (&'a [&'a [(&'a str, f64)]], &'a [(Rule, &'a str)]);
    let rows: [Row<'_>; 9] = [
        (&[&[("b", 284.0), ("a", 300.0)]], &[]),
        // Whole numbers are rounded, others are not.
        (&[&[("a", 300.0), ("b", 300.0)]], &[]),
        (&[&[("a", 299.5), ("b", 299.5)]], &[(AddsTime, "b")]),
        (&[&[("a", 300.1), ("b", 1.0)]], &[(AddsTime, "a")]),
        (&[&[("a", 299.0), ("b", 300.0)]], &[(AddsTime, "b")]),
        // Once is enough.
        (
            &[&[("a", 299.0), ("b", 1.0)], &[("a", 299.0), ("b", 9_000.0)]],
            &[(AddsTime, "b")],
        ),
        (&[&[("a", 299.0)]], &[(HopNotSeen, "b")]),
        (&[&[("b", 500.0)]], &[(HopNotSeen, "a"), (AddsTime, "b")]),
        (&[&[("a", 9.0), ("other", 99.0), ("b", 8.0)]], &[]),
    ];
    for (probes, expected) in rows {
        let probes: Vec<Probe> = probes.iter().map(|hops| probe(hops)).collect();
        let findings = probed(300.0, &["a", "b"], &probes);
        let found: Vec<(Rule, &str)> = findings.iter().map(|it| (it.rule, it.hop.as_str())).collect();
        assert_eq!(found, expected, "{probes:?} {findings:?}");
    }
}

#[test]
fn of_answers_to_a_request_that_takes_too_long_the_best_counts() {
    let exceeded = |took_ms| Late::Exceeded { took_ms };
    let done = |took_ms| Late::Done { took_ms };
    let other = |took_ms| Late::Other {
        took_ms,
        status: "500".into(),
    };
    let silent = Late::Silent { waited_ms: 5_000.0 };
    let ask = |answers: &[Late]| late("GET /", "http://x", 100.0, 50.0, answers);
    let rule = |answers: &[Late]| ask(answers).unwrap().map(|finding: Finding| finding.rule);
    assert_eq!(rule(&[exceeded(150.0)]), None);
    assert_eq!(rule(&[exceeded(900.0), done(800.0), exceeded(20.0)]), None);
    assert_eq!(
        rule(&[exceeded(900.0), exceeded(151.0)]),
        Some(Rule::AnswersAfterCaller)
    );
    assert_eq!(rule(&[other(151.0)]), Some(Rule::AnswersAfterCaller));
    assert_eq!(rule(&[done(151.0), silent.clone()]), Some(Rule::IgnoresDeadline));
    assert_eq!(rule(std::slice::from_ref(&silent)), Some(Rule::IgnoresDeadline));
    // Nothing that came in time says anything of deadlines.
    assert!(ask(&[done(150.0)]).unwrap_err().contains("answered in time"));
    assert!(ask(&[silent, other(3.0)]).unwrap_err().contains("500"));
    assert!(ask(&[]).is_err());
}

#[test]
fn the_limits_of_a_gateway_are_read_with_their_places() {
    let yaml = "listen: 127.0.0.1:1\nbackends: {}\nupstream_timeout_ms: 700\nlimits: { connect_timeout_ms: 300 }\nrules: [{ any: thing }]\n";
    let route = gateway_route(yaml, "g.yaml").unwrap();
    let told = |limit: &Option<Limit>| {
        let limit = limit.clone().unwrap();
        (limit.ms, limit.name, limit.place)
    };
    assert_eq!(
        told(&route.answer),
        (700, "upstream_timeout_ms".into(), "g.yaml:3:22".into())
    );
    assert_eq!(
        told(&route.connect),
        (300, "limits.connect_timeout_ms".into(), "g.yaml:4:31".into())
    );
    assert_eq!(
        told(&route.pool_idle),
        (
            1_500,
            "limits.upstream_idle_ms".into(),
            "g.yaml:1:1 (default)".into()
        )
    );
    for (yaml, told) in [
        ("", "g.yaml:"),
        ("listen: x\n", "has no `backends`"),
        ("listen: [", "does not read as YAML"),
        (
            "listen: x\nbackends: {}\nupstream_timeout_ms: soon\n",
            "g.yaml:3:22: `upstream_timeout_ms` is `soon`",
        ),
        ("listen: x\nbackends: {}\nlimits: 5\n", "`limits` is 5"),
        (
            "listen: x\nbackends: {}\nlimits: { body_idle_timeout_ms: -1 }\n",
            "g.yaml:3:33",
        ),
    ] {
        let error = gateway_route(yaml, "g.yaml").unwrap_err().to_string();
        assert!(error.contains(told), "{yaml}: {error}");
    }
}

const NGINX: &str = r#"# An edge.
user "www data";
include modules/*.conf;
http {
    include mime.types;
    keepalive_timeout 65s 60s;
    proxy_read_timeout 1500ms;
    upstream app {
        server 10.0.0.1:80 max_fails=3;
        server 10.0.0.2:80;
        server 10.0.0.3:80 down;
        keepalive 16;
        keepalive_timeout 30s;
    }
    map $http_upgrade $connection { default upgrade; '' close; }
    server {
        listen 80;
        location / { return 200 "a { b; } ${uri}\" "; }
        location /v1/ {
            proxy_connect_timeout 1;
            proxy_pass http://app/v1;
        }
        location = /play {
            proxy_set_header Upgrade $http_upgrade;
            proxy_read_timeout 1h;
            proxy_pass http://10.0.0.9:80;
        }
        location ~ "^/x{2}/" { }
        location /rpc {
            grpc_read_timeout "1m 30s";
            grpc_next_upstream off;
            if ($arg_a) { grpc_pass grpc://app; }
        }
        location /lua { content_by_lua_block { if x then y({}) end } }
        location /tries {
            proxy_next_upstream_tries 1;
            proxy_next_upstream_timeout 2s;
            proxy_pass http://app;
        }
    }
}
stream { server { proxy_pass 10.0.0.1:53; } }
"#;

fn nginx(text: &str, location: Option<&str>) -> Result<Vec<Route>, String> {
    let mut include = |pattern: &str| match pattern {
        "mime.types" => Ok(vec![(
            "mime.types".to_owned(),
            "types { text/html html; }".to_owned(),
        )]),
        "modules/*.conf" => Ok(Vec::new()),
        "more.conf" => Ok(vec![(
            "more.conf".to_owned(),
            "\n  proxy_read_timeout 7s;".to_owned(),
        )]),
        "self.conf" => Ok(vec![("self.conf".to_owned(), "include self.conf;".to_owned())]),
        _ => Err("no such file".to_owned()),
    };
    nginx_routes(text, "n.conf", location, &mut include).map_err(|error| error.to_string())
}

#[test]
fn the_limits_of_an_nginx_are_read_as_it_means_them() {
    let routes = nginx(NGINX, None).unwrap();
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "location /v1/",
            "location = /play",
            "location /rpc",
            "location /tries"
        ]
    );
    let ms = |limit: &Option<Limit>| limit.as_ref().map(|limit| limit.ms);
    let [v1, play, rpc, tries] = &routes[..] else {
        panic!()
    };
    assert_eq!(v1.answer.as_ref().unwrap().place, "n.conf:7:5");
    assert_eq!(v1.connect.as_ref().unwrap().place, "n.conf:20:13");
    assert_eq!((ms(&v1.answer), ms(&v1.connect)), (Some(1_500), Some(1_000)));
    assert_eq!(v1.pauses[0].place, "n.conf:21:13 (default)");
    assert_eq!(
        (v1.pauses[0].ms, ms(&v1.pool_idle), ms(&v1.keep_alive)),
        (60_000, Some(30_000), Some(65_000))
    );
    assert_eq!((v1.attempts, ms(&v1.retry)), (2, None));
    // A WebSocket may be idle.
    assert_eq!(
        (ms(&play.answer), play.pauses.len(), ms(&play.connect)),
        (None, 0, Some(60_000))
    );
    assert_eq!((ms(&play.pool_idle), play.attempts), (None, 1));
    assert_eq!((ms(&rpc.answer), rpc.attempts), (Some(90_000), 1));
    assert_eq!((tries.attempts, ms(&tries.retry)), (1, Some(2_000)));

    let one = nginx(NGINX, Some("/rpc")).unwrap();
    assert_eq!(one.len(), 1);
    let error = nginx(NGINX, Some("/none")).unwrap_err();
    assert!(error.contains("no `location /none`"), "{error}");

    // How an upstream keeps idle connections, and who can.
    let pool = |upstream: &str, pass: &str| {
        let text = format!("upstream a {{ server b; {upstream} }} location / {{ {pass} }}");
        let routes = nginx(&text, None).unwrap();
        routes[0].pool_idle.clone().map(|limit| (limit.ms, limit.place))
    };
    let default = |place: &str| Some((60_000, format!("n.conf:1:1 ({place})")));
    assert_eq!(pool("keepalive 4;", "proxy_pass http://a;"), default("default"));
    assert_eq!(
        pool("", "proxy_pass http://a/x;"),
        default("default since nginx 1.29.7")
    );
    assert_eq!(
        pool("keepalive_timeout 2s;", "proxy_pass http://a$uri;")
            .unwrap()
            .0,
        2_000
    );
    assert_eq!(pool("keepalive 0;", "proxy_pass http://a;"), None);
    assert_eq!(pool("", "uwsgi_pass a;"), None);
    assert_eq!(pool("", "fastcgi_pass a;"), None);
    assert_eq!(
        pool("keepalive 1;", "fastcgi_keep_conn on; fastcgi_pass a;"),
        default("default")
    );

    // The innermost holds, wherever it comes from.
    let routes = nginx(
        "http { proxy_read_timeout 1s; server { include more.conf; location / { proxy_pass http://a; } } }",
        None,
    );
    let routes = routes.unwrap();
    let answer = routes[0].answer.as_ref().unwrap();
    assert_eq!((answer.ms, answer.place.as_str()), (7_000, "more.conf:2:3"));
}

#[test]
fn what_is_no_nginx_configuration_is_told_with_its_place() {
    for (text, told) in [
        ("", "nothing is passed on"),
        ("http { server { listen 80; } }", "nothing is passed on"),
        ("listen: 127.0.0.1\nbackends: {}\n", "n.conf:"),
        (
            "http {\n  server {\n    listen 80;\n",
            "n.conf:2:10: a block that is never closed",
        ),
        ("http { }\n}", "n.conf:2:1: `}`"),
        (
            "worker_processes 1",
            "n.conf:1:1: `worker_processes` does not end",
        ),
        ("a 'b", "n.conf:1:3: a quote that is never closed"),
        ("http { ; }", "a directive without a name"),
        ("{ }", "a directive without a name"),
        (
            "include nowhere.conf;",
            "n.conf:1:1: what `include nowhere.conf` names cannot be read: no such file",
        ),
        ("include self.conf;", "include each other"),
        (
            "http { proxy_read_timeout $t;\n location / { proxy_pass http://a; } }",
            "n.conf:1:8: `proxy_read_timeout $t`",
        ),
        (
            "location / { proxy_read_timeout 1x; proxy_pass http://a; }",
            "is no time",
        ),
        (
            "location / { proxy_next_upstream_tries many; proxy_pass http://a; }",
            "a number of tries",
        ),
        (
            "upstream a { server b; keepalive 1; keepalive_timeout x; } location / { proxy_pass http://a; }",
            "is no time",
        ),
        ("a { b_by_lua_block { ", "never closed"),
    ] {
        let error = nginx(text, None).unwrap_err();
        assert!(error.contains(told), "{text}: {error}");
    }
    let deep = format!("{}{}", "a { ".repeat(1_000), "}".repeat(1_000));
    assert!(nginx(&deep, None).unwrap_err().contains("within each other"));
    let long = format!("a {};", "b".repeat(100_000));
    assert!(nginx(&long, None).unwrap_err().contains("a word of more than"));
}

#[test]
fn times_are_read_as_nginx_reads_them() {
    for (text, expected) in [
        ("90", Some(90_000)),
        ("1500ms", Some(1_500)),
        ("1m30s", Some(90_000)),
        ("1h 5", Some(3_605_000)),
        ("2d", Some(172_800_000)),
        ("0", Some(0)),
        ("", None),
        ("s", None),
        ("1.5s", None),
        ("-1s", None),
        ("1S", None),
        ("99999999999999999999", None),
        ("9999999999999999999s", None),
    ] {
        assert_eq!(nginx_time_ms(text), expected, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_torn_or_changed_configuration_reads_or_is_refused_with_a_place(
        at in 0..2_000_usize,
        length in 0..200_usize,
        put in "[ \\t\\n{};#$\"'\\\\a-z0-9]{0,6}",
    ) {
        let place = |at: usize| {
            let at = at % (NGINX.len() + 1);
            (0..=at).rev().find(|at| NGINX.is_char_boundary(*at)).unwrap_or(0)
        };
        let start = place(at);
        let end = place(start + length).max(start);
        let text = format!("{}{put}{}", &NGINX[..start], &NGINX[end..]);
        match nginx(&text, None) {
            Ok(routes) => { let _ = misalignments(1, &[Hop { name: "x".into(), keeps_deadline: false, routes }]); }
            Err(error) => prop_assert!(error.split(':').nth(1).is_some_and(|line| line.parse::<u32>().is_ok()), "{}", error),
        }
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "\\PC{0,200}") {
        let _ = nginx(&text, None);
        let _ = gateway_route(&text, "x");
        let _ = hops_left([text.as_str()]);
        let _ = nginx_time_ms(&text);
    }
}
