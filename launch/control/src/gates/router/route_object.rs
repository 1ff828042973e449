//! An HTTPRoute as the API server shows it: its weights read, a change of them written, its state told.
//! Gateway API v1, `gateway.networking.k8s.io`.

use serde_json::{Value, json};

/// Where the two sides stand in the route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    rule: usize,
    stable: usize,
    canary: usize,
}

/// What a route is looked through for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub rule: Option<&'a str>,
    pub stable: &'a str,
    pub canary: &'a str,
}

fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn weight_of(backend: &Value) -> u64 {
    // The API's default.
    backend.get("weight").and_then(Value::as_u64).unwrap_or(1)
}

/// Finds the rule and both backends.
///
/// # Errors
/// What is not there, with what is.
pub fn find(route: &Value, wanted: Wanted<'_>) -> Result<Place, String> {
    let rules = list(route, "/spec/rules");
    let rule = match wanted.rule {
        None if rules.len() == 1 => 0,
        None => {
            return Err(format!(
                "it has {} rules ({}): name one of them as `rule`",
                rules.len(),
                names(rules)
            ));
        }
        Some(name) => rules
            .iter()
            .position(|rule| text(rule, "name") == name)
            .ok_or_else(|| format!("it has no rule `{name}`; it has {}", names(rules)))?,
    };
    let backends = list(&rules[rule], "/backendRefs");
    let side = |name: &str| {
        let found: Vec<usize> = (0..backends.len())
            .filter(|at| text(&backends[*at], "name") == name)
            .collect();
        match found[..] {
            [at] => Ok(at),
            [] => Err(format!(
                "its rule has no backend ref `{name}`; it has {}",
                names(backends)
            )),
            _ => Err(format!("its rule names `{name}` {} times", found.len())),
        }
    };
    let (stable, canary) = (side(wanted.stable)?, side(wanted.canary)?);
    if stable == canary {
        return Err(format!("`stable` and `canary` are both `{}`", wanted.stable));
    }
    let other = backends
        .iter()
        .enumerate()
        .find(|(at, backend)| ![stable, canary].contains(at) && weight_of(backend) > 0);
    if let Some((_, other)) = other {
        return Err(format!(
            "its rule also sends to `{}` with weight {}: the two sides would not share all of it",
            text(other, "name"),
            weight_of(other)
        ));
    }
    Ok(Place { rule, stable, canary })
}

fn names(of: &[Value]) -> String {
    let names: Vec<&str> = of
        .iter()
        .map(|value| {
            value
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or("one without a name")
        })
        .collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// The canary's share in percent, and whether the weights are written as such.
pub fn share(route: &Value, place: Place) -> (u32, bool) {
    let backends = route.pointer(&format!("/spec/rules/{}/backendRefs", place.rule));
    let weight = |at: usize| {
        backends
            .and_then(|backends| backends.get(at))
            .map_or(0, weight_of)
    };
    let (stable, canary) = (weight(place.stable), weight(place.canary));
    let total = stable + canary;
    let percent = (100.0 * canary as f64 / total.max(1) as f64).round() as u32;
    (percent, total == 100)
}

/// A change of the two weights (RFC 6902) that holds only for the version that was read.
pub fn patch(route: &Value, place: Place, percent: u32) -> Value {
    let percent = percent.min(100);
    let at = |side: usize, field: &str| format!("/spec/rules/{}/backendRefs/{side}/{field}", place.rule);
    let backend = |side: usize| route.pointer(at(side, "").trim_end_matches('/'));
    let name = |side: usize| {
        backend(side)
            .map(|backend| text(backend, "name"))
            .unwrap_or_default()
    };
    json!([
        { "op": "test", "path": "/metadata/resourceVersion", "value": version(route) },
        { "op": "test", "path": at(place.stable, "name"), "value": name(place.stable) },
        { "op": "test", "path": at(place.canary, "name"), "value": name(place.canary) },
        { "op": "add", "path": at(place.stable, "weight"), "value": 100 - percent },
        { "op": "add", "path": at(place.canary, "weight"), "value": percent },
    ])
}

pub fn version(route: &Value) -> &str {
    route
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub fn generation(route: &Value) -> i64 {
    route
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

/// Whether every gateway that the route names has taken its present generation in.
///
/// # Errors
/// Which one has not, and what it says.
pub fn settled(route: &Value) -> Result<(), String> {
    let generation = generation(route);
    let namespace = route
        .pointer("/metadata/namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let wanted = list(route, "/spec/parentRefs");
    if wanted.is_empty() {
        return Err("it names no gateway (`parentRefs`)".to_owned());
    }
    for parent in wanted {
        let shown = format!("gateway `{}`", text(parent, "name"));
        let mut reports = list(route, "/status/parents").iter().filter(|report| {
            let of = report.get("parentRef").unwrap_or(&Value::Null);
            let space = |of: &'_ Value| match text(of, "namespace") {
                "" => namespace.to_owned(),
                other => other.to_owned(),
            };
            ["name", "sectionName"]
                .iter()
                .all(|name| text(of, name) == text(parent, name))
                && of.get("port") == parent.get("port")
                && space(of) == space(parent)
        });
        let Some(first) = reports.next() else {
            return Err(format!("{shown} has reported nothing"));
        };
        for report in std::iter::once(first).chain(reports) {
            for kind in ["Accepted", "ResolvedRefs"] {
                let condition = list(report, "/conditions")
                    .iter()
                    .find(|c| text(c, "type") == kind);
                let Some(condition) = condition else {
                    return Err(format!("{shown} does not report {kind}"));
                };
                let observed = condition
                    .get("observedGeneration")
                    .and_then(Value::as_i64)
                    .unwrap_or(0);
                if observed < generation {
                    return Err(format!(
                        "{shown} reports {kind} of generation {observed}, and the route is at {generation}"
                    ));
                }
                if text(condition, "status") != "True" {
                    return Err(format!(
                        "{shown} reports {kind}={}: {}: {}",
                        text(condition, "status"),
                        text(condition, "reason"),
                        text(condition, "message")
                    ));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted<'_> = Wanted {
        rule: Some("play"),
        stable: "old",
        canary: "new",
    };

    fn route() -> Value {
        json!({
            "metadata": { "namespace": "shop", "resourceVersion": "41", "generation": 7 },
            "spec": {
                "parentRefs": [{ "name": "edge", "sectionName": "https" }],
                "rules": [
                    { "name": "static", "backendRefs": [{ "name": "files" }] },
                    { "name": "play", "backendRefs": [{ "name": "new", "weight": 1 }, { "name": "old", "weight": 3 }] },
                ],
            },
            "status": { "parents": [{
                "parentRef": { "name": "edge", "namespace": "shop", "sectionName": "https" },
                "conditions": [
                    { "type": "Accepted", "status": "True", "observedGeneration": 7 },
                    { "type": "ResolvedRefs", "status": "True", "observedGeneration": 7 },
                ],
            }] },
        })
    }

    #[test]
    fn the_named_rules_weights_are_read_and_written_and_nothing_else() {
        let route = route();
        let place = find(&route, WANTED).unwrap();
        assert_eq!(share(&route, place), (25, false));
        let patch = patch(&route, place, 30);
        let changes: Vec<(&str, &str, &Value)> = patch
            .as_array()
            .unwrap()
            .iter()
            .map(|op| (text(op, "op"), text(op, "path"), &op["value"]))
            .collect();
        assert_eq!(
            changes,
            [
                ("test", "/metadata/resourceVersion", &json!("41")),
                ("test", "/spec/rules/1/backendRefs/1/name", &json!("old")),
                ("test", "/spec/rules/1/backendRefs/0/name", &json!("new")),
                ("add", "/spec/rules/1/backendRefs/1/weight", &json!(70)),
                ("add", "/spec/rules/1/backendRefs/0/weight", &json!(30)),
            ]
        );
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let say = |wanted, change: fn(&mut Value)| {
            let mut route = route();
            change(&mut route);
            find(&route, wanted).unwrap_err()
        };
        let none = |_: &mut Value| {};
        assert!(
            say(
                Wanted {
                    rule: Some("pay"),
                    ..WANTED
                },
                none
            )
            .contains("no rule `pay`; it has static, play")
        );
        assert!(say(Wanted { rule: None, ..WANTED }, none).contains("2 rules"));
        assert!(
            say(
                Wanted {
                    canary: "v9",
                    ..WANTED
                },
                none
            )
            .contains("no backend ref `v9`; it has new, old")
        );
        let third = say(WANTED, |route| {
            route["spec"]["rules"][1]["backendRefs"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "name": "third" }));
        });
        assert!(third.contains("also sends to `third`"), "{third}");
    }

    #[test]
    fn a_route_is_settled_when_every_gateway_reports_its_present_generation() {
        assert_eq!(settled(&route()), Ok(()));
        let say = |change: fn(&mut Value)| {
            let mut route = route();
            change(&mut route);
            settled(&route).unwrap_err()
        };
        let behind = say(|route| route["metadata"]["generation"] = json!(8));
        assert!(
            behind.contains("Accepted of generation 7, and the route is at 8"),
            "{behind}"
        );
        let refs = say(|route| {
            route["status"]["parents"][0]["conditions"][1] = json!({ "type": "ResolvedRefs", "status": "False",
                "observedGeneration": 7, "reason": "BackendNotFound", "message": "no service new" });
        });
        assert!(refs.contains("BackendNotFound: no service new"), "{refs}");
        let other = say(|route| route["status"]["parents"][0]["parentRef"]["sectionName"] = json!("http"));
        assert!(other.contains("reported nothing"), "{other}");
        let second = say(|route| {
            route["spec"]["parentRefs"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "name": "inner" }));
        });
        assert!(second.contains("`inner` has reported nothing"), "{second}");
    }
}
