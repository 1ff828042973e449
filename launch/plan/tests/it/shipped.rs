//! The plans that are shipped read, and say what they should.

use tminus_plan::{GateKind, Plan};

pub const STARVAULT: &str = include_str!("../../../../plans/starvault.yaml");
pub const HTTP_SERVICE: &str = include_str!("../../../../plans/http-service.yaml");
pub const NGINX: &str = include_str!("../../../../plans/nginx.yaml");
pub const KUBERNETES: &str = include_str!("../../../../plans/kubernetes.yaml");

#[test]
fn the_starvault_plan_reads() {
    let plan = Plan::parse(STARVAULT, "plans/starvault.yaml").unwrap_or_else(|error| panic!("{error}"));
    let numbers: Vec<u32> = plan.items.iter().map(|item| item.number).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    for item in &plan.items {
        let to_come = item
            .gates
            .iter()
            .filter(|gate| matches!(gate.kind, GateKind::ToCome { .. }))
            .count();
        if [2, 8].contains(&item.number) {
            assert_eq!(to_come, item.gates.len(), "{}", item.id);
        } else {
            assert_eq!(to_come, 0, "{}", item.id);
            assert!(item.not_covered.is_some(), "{}", item.id);
        }
        let line = STARVAULT.lines().nth(item.line as usize - 1).unwrap();
        assert!(
            line.contains(&format!("id: {}", item.id)),
            "{}: line {} is {line}",
            item.id,
            item.line
        );
    }
}

#[test]
fn a_load_run_is_void_at_the_stated_lag_of_its_generator() {
    let lag_max_of = |text: &str| {
        let plan = Plan::parse(text, "plan.yaml").unwrap_or_else(|error| panic!("{error}"));
        plan.items.iter().flat_map(|item| &item.gates).find_map(|gate| {
            let GateKind::Load(load) = &gate.kind else {
                return None;
            };
            Some(load.generator_lag_max_ms)
        })
    };
    assert_eq!(lag_max_of(STARVAULT), Some(50), "unless stated otherwise");
    let stated = STARVAULT.replace(
        "        duration_s: 900\n",
        "        duration_s: 900\n        generator_lag_max_ms: 20\n",
    );
    assert_eq!(lag_max_of(&stated), Some(20));
}

#[test]
fn the_plans_for_other_services_and_routers_read() {
    for (file, text) in [
        ("plans/http-service.yaml", HTTP_SERVICE),
        ("plans/nginx.yaml", NGINX),
        ("plans/kubernetes.yaml", KUBERNETES),
    ] {
        Plan::parse(text, file).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_plan_that_asks_how_it_went_has_sections_of_its_own_or_the_usual_ones() {
    let with = |feedback: &str| {
        let text = HTTP_SERVICE.replacen("\nitems:", &format!("\nfeedback: {feedback}\nitems:"), 1);
        Plan::parse(&text, "plan.yaml")
            .unwrap_or_else(|error| panic!("{error}"))
            .feedback
            .unwrap()
    };
    assert_eq!(Plan::parse(HTTP_SERVICE, "plan.yaml").unwrap().feedback, None);
    let usual = with("{ url: \"https://launch.example.org/team/\" }");
    assert_eq!(usual.url, "https://launch.example.org/team");
    assert_eq!(
        usual.sections,
        ["压测 load", "发布 release", "回滚 rollback", "检查单 checklist"]
    );
    let own = with("{ url: \"http://[::1]:8099\", sections: [sound, 画面] }");
    assert_eq!(
        (own.url.as_str(), own.sections),
        ("http://[::1]:8099", vec!["sound".to_owned(), "画面".to_owned()])
    );
}
