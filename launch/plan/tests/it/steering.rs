//! The router and the counters of a canary gate: what the plan may say of them, and how a mistake is told.

use tminus_plan::{GateKind, KEY, NginxSpread, Plan, RouterSpec, Variables};

use crate::shipped::{KUBERNETES, NGINX};

/// (text of a shipped plan that is replaced, text that replaces it, what is told, where it points)
type Mistake = (&'static str, &'static str, &'static str, &'static str);

const NGINX_MISTAKES: &[Mistake] = &[
    (
        "key: $http_x_player_id",
        "key: x-player-id",
        "`key` is `x-player-id`",
        "x-player-id\n",
    ),
    ("key: $http_x_player_id", "key: $a;b", "`key` is `$a;b`", "$a;b"),
    (
        "            key: $http_x_player_id\n",
        "",
        "`nginx` has no `key`",
        "file:",
    ),
    (
        "file: /etc",
        "file: etc",
        "`file` is `etc/nginx/tminus/shop.conf`",
        "etc/nginx",
    ),
    ("name: shop\n", "name: Shop\n", "`name` is `Shop`", "Shop\n"),
    (
        "pin_header: x-version",
        "pin_header: x version",
        "`pin_header` is `x version`",
        "x version",
    ),
    (
        "[\"${stable}\"]",
        "[\"a:1; b\"]",
        "`a:1; b` is not a server's address",
        "\"a:1; b\"",
    ),
    ("[\"${stable}\"]", "[]", "`stable` has no server", "[]"),
    (
        "{ x-player-id: \"{{key}}\" }",
        "{ x-player-id: me }",
        "every probe would come from the same player",
        "url:",
    ),
    (
        "        releases: { stable: v1.2, canary: v1.3 }\n",
        "",
        "no `releases`",
        "nginx:",
    ),
    (
        "canary: v1.3 }",
        "canary: v1.2 }",
        "both sides are called `v1.2`",
        "{ stable: v1.2",
    ),
    (
        "release=\"{{release}}\"}'\n            errors",
        "release=\"v1.2\"}'\n            errors",
        "`requests` asks the same of both sides",
        "'http_requests_total",
    ),
    (
        "            url: ${prometheus}\n",
        "            urll: ${prometheus}\n",
        "unknown field `urll`",
        "urll",
    ),
    (
        "        router:\n",
        "        gateway_admin: http://a\n        router:\n",
        "a gate with 2 routers",
        "nginx:",
    ),
    (
        "          nginx:\n",
        "          nginks:\n",
        "unknown field `nginks`",
        "nginks",
    ),
];

const KUBERNETES_MISTAKES: &[Mistake] = &[
    (
        "            route: shop\n",
        "",
        "`http_route` has no `route`",
        "namespace:",
    ),
    (
        "route: shop\n",
        "route: Shop/1\n",
        "`route` is `Shop/1`",
        "Shop/1",
    ),
    (
        "              carts:\n",
        "              Carts!:\n",
        "`Carts!` in `business`",
        "Carts!",
    ),
    (
        "                total:",
        "                totals:",
        "unknown field `totals`",
        "totals",
    ),
    (
        "            rule: everything\n",
        "            rule: everything\n            ready_ms: 5\n",
        "`ready_ms` is 5",
        "5\n",
    ),
];

#[test]
fn a_mistake_of_a_router_or_a_counter_is_told_where_it_stands() {
    for (plan, mistakes) in [(NGINX, NGINX_MISTAKES), (KUBERNETES, KUBERNETES_MISTAKES)] {
        for (from, to, told, place) in mistakes {
            assert!(plan.contains(from), "nothing to replace: {from}");
            let yaml = plan.replacen(from, to, 1);
            let error = Plan::parse(&yaml, "p.yaml").expect_err(told);
            assert!(error.what.contains(told), "{from} -> {to}: {error}");
            let mut lines = yaml.split_inclusive('\n').skip(error.line as usize - 1);
            let rest = &lines.next().unwrap()[error.column as usize - 1..];
            assert!(rest.starts_with(place), "{error}: {rest}");
        }
    }
}

#[test]
fn a_gate_whose_answers_nobody_counts_is_refused() {
    let from = NGINX.find("        metrics:\n").unwrap();
    let to = NGINX.find("        steps:").unwrap();
    let yaml = format!("{}{}", &NGINX[..from], &NGINX[to..]);
    let error = Plan::parse(&yaml, "p.yaml").unwrap_err();
    assert!(error.what.contains("nobody counts"), "{error}");
}

#[test]
fn variables_stand_in_addresses_and_queries_and_nginx_own_are_left_alone() {
    let plan = Plan::parse(NGINX, "plans/nginx.yaml").unwrap();
    let variables: Variables = [
        ("edge", "http://edge"),
        ("prometheus", "http://prometheus:9090"),
        ("stable", "10.0.0.1:80"),
        ("canary", "10.0.0.2:80"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    let GateKind::Canary(spec) = plan.resolve_gate("canary", "rollout", false, &variables).unwrap() else {
        panic!("it is a canary");
    };
    let RouterSpec::Nginx(nginx) = &spec.router else {
        panic!("it is an nginx");
    };
    let by = NginxSpread::By {
        variable: "http_x_player_id".to_owned(),
    };
    assert_eq!(nginx.spread, by);
    assert_eq!(nginx.servers.as_ref().unwrap().canary, ["10.0.0.2:80"]);
    let probe = spec.probe.as_ref().unwrap();
    assert_eq!(probe.url, "http://edge/healthz");
    assert_eq!(probe.headers["x-player-id"], KEY);
    let metrics = spec.metrics.as_ref().unwrap();
    assert_eq!(metrics.url, "http://prometheus:9090");
    assert!(metrics.requests.contains("release=\"{{release}}\""));
}
