//! `tminus plan check`: whether a plan is good, and what it says.

use serde_json::json;

use crate::cli::PlanCheck;
use crate::error::{Exit, Result};
use crate::session;

pub(super) fn check(args: &PlanCheck) -> Result<Exit> {
    let plan = session::read_plan(&args.plan)?.plan;
    let gates: usize = plan.items.iter().map(|i| i.gates.len()).sum();
    let to_come: usize = plan
        .items
        .iter()
        .flat_map(|i| &i.gates)
        .filter(|g| g.kind.is_to_come())
        .count();
    let mut variables: Vec<&str> = plan.variables.iter().map(|v| v.name.as_str()).collect();
    variables.sort_unstable();
    variables.dedup();
    if args.json {
        println!(
            "{}",
            json!({
                "ok": true, "name": plan.name, "version": plan.version, "hours": plan.ends_h(),
                "items": plan.items.len(), "gates": gates, "gates_to_come": to_come,
                "roles": plan.roles(), "variables": variables, "checklist": plan.checklist,
            })
        );
        return Ok(Exit::Ok);
    }
    println!("{}  {}", plan.name, plan.version);
    for item in &plan.items {
        let kinds: Vec<String> = item
            .gates
            .iter()
            .map(|g| {
                if g.kind.is_to_come() {
                    format!("({})", g.id)
                } else {
                    g.id.clone()
                }
            })
            .collect();
        let window = format!("T+{}–{} h", item.window.from_h, item.window.to_h);
        println!(
            "{:>3}  {}  {}",
            item.number,
            crate::console::pad(&window, 12),
            item.title.en
        );
        println!(
            "     gates: {}; signed by: {}",
            words(&kinds),
            words(&item.sign_offs)
        );
    }
    println!("variables: {}", words(&variables));
    if to_come > 0 {
        println!(
            "in brackets: {to_come} of {gates} gates are of kinds that this release cannot run (never ticked)"
        );
    }
    println!("{} is a good plan", args.plan.display());
    Ok(Exit::Ok)
}

fn words<T: AsRef<str>>(list: &[T]) -> String {
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
    }
}
