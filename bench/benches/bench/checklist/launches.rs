//! Launches that never happened, signed and recorded for real: those of the checklist's own tests.

use tminus_checklist::FontSource;

#[path = "../../../../launch/checklist/tests/it/launch.rs"]
#[allow(
    clippy::unwrap_used,
    dead_code,
    missing_debug_implementations,
    reason = "written for tests"
)]
mod synthetic;

pub use synthetic::Launch;

/// All three kinds of item in turn; of every seventh nothing ran. Another seed has other figures everywhere.
pub fn of(items: u32, seed: u32) -> Launch {
    let (head, list) = synthetic::PLAN.split_once("items:").unwrap_or_default();
    let kinds: Vec<&str> = list.split("\n  - id: ").skip(1).collect();
    let mut plan = format!("{head}items:");
    for (number, (at, kind)) in (1..=items).zip(kinds.iter().enumerate().cycle()) {
        let id = kind.split('\n').next().unwrap_or_default();
        let kind = kind.replacen(id, &format!("{id}-{number}"), 1);
        plan.push_str("\n  - id: ");
        plan.push_str(&kind.replacen(&format!("number: {}", at + 1), &format!("number: {number}"), 1));
    }
    let mut launch = Launch::start(&plan, "plans/long.yaml");
    launch.later(u64::from(seed) * 61_000);
    for item in launch.plan.items.clone() {
        if item.number % 7 == 0 {
            continue;
        }
        let p50 = f64::from(item.number) + f64::from(seed) * 0.25;
        let measured = [("move_p50_ms", p50, "ms"), ("moves", p50 * 1e4, "1")];
        launch.gate(&item.id, &item.gates[0].id, &measured);
        for role in &item.sign_offs {
            launch.sign_off(&item.id, role);
        }
    }
    launch.finish();
    launch
}

/// One whose checklist has been issued.
pub fn issued(items: u32, seed: u32, fonts: &FontSource) -> Launch {
    let mut launch = of(items, seed);
    let model = launch.model();
    launch.issue(&model, fonts);
    launch
}

/// A time at which every launch of this module has been over for long.
pub fn after_the_issue() -> anyhow::Result<jiff::Timestamp> {
    Ok(jiff::Timestamp::from_millisecond(
        i64::try_from(synthetic::START_MS)? + 24 * 3_600_000,
    )?)
}
