//! What came of all scenarios, as figures.

use serde_json::{Map, Value, json};

use crate::judges::ALPHA;
use crate::scenario::{BASELINE_S, JUDGES, OURS, SPRT, SPRT_RATES, SPRT_SPLIT, Scenario, Verdicts, run_all};
use crate::traffic::{CANARY_SHARE, ERROR_RATE, Fault, Shape};

pub const PER_MINUTE: [u32; 3] = [60, 600, 6000];
pub const SHAPES: [Shape; 3] = [Shape::Steady, Shape::Skewed, Shape::Bursty];
/// Where errors hang together by player; without a fault of the canary.
pub const BY_PLAYER: [Shape; 2] = [Shape::Clustered, Shape::Broken];
/// Length of a run without a fault: a step of a rollout.
pub const STEP_S: u32 = 600;
/// A fault that was not found after so long counts as missed.
pub const HORIZON_S: u32 = 3600;
/// Ours is held to these.
pub const FALSE_MAX: f64 = 0.01;
pub const RATIO_MAX: f64 = 1.3;

/// The faults, by the names of their figures.
pub const FAULTS: [(&str, Fault); 4] = [
    ("10x_errors", Fault::Errors(10.0)),
    ("3x_errors", Fault::Errors(3.0)),
    ("p99_plus_30pct", Fault::Slower(1.3)),
    ("tail_plus_30pct", Fault::Tail(1.3)),
];

/// All scenarios and their results.
#[derive(Clone, Debug)]
pub struct Report {
    seed: u64,
    runs: u64,
    fault_runs: u64,
    scenarios: Vec<Scenario>,
    results: Vec<Vec<Verdicts>>,
}

impl Report {
    /// `runs` without a fault per scenario, `fault_runs` with each fault.
    #[must_use]
    pub fn make(runs: u64, fault_runs: u64, seed: u64, threads: usize) -> Self {
        let mut scenarios = Vec::new();
        for per_minute in PER_MINUTE {
            for shape in SHAPES.into_iter().chain(BY_PLAYER) {
                scenarios.push(Scenario {
                    shape,
                    fault: Fault::None,
                    per_minute,
                    length_s: STEP_S,
                    runs,
                });
            }
            for (shape, (_, fault)) in SHAPES
                .iter()
                .flat_map(|shape| FAULTS.map(|fault| (*shape, fault)))
            {
                scenarios.push(Scenario {
                    shape,
                    fault,
                    per_minute,
                    length_s: HORIZON_S,
                    runs: fault_runs,
                });
            }
        }
        let results = run_all(&scenarios, seed, threads);
        Self {
            seed,
            runs,
            fault_runs,
            scenarios,
            results,
        }
    }

    fn of(&self, per_minute: u32, shape: Shape, fault: Fault) -> &[Verdicts] {
        self.scenarios
            .iter()
            .position(|s| (s.per_minute, s.shape, s.fault) == (per_minute, shape, fault))
            .map_or(&[], |at| self.results[at].as_slice())
    }

    /// The share of runs in which a judge rolled back.
    #[must_use]
    pub fn rolled_back(&self, per_minute: u32, shape: Shape, fault: Fault, judge: usize) -> f64 {
        let runs = self.of(per_minute, shape, fault);
        let rolled_back = runs.iter().filter(|verdicts| verdicts[judge].is_some()).count();
        rolled_back as f64 / runs.len().max(1) as f64
    }

    /// The median time until a judge rolled back; none when it did not in half of the runs.
    #[must_use]
    pub fn median_s(&self, per_minute: u32, shape: Shape, fault: Fault, judge: usize) -> Option<f64> {
        let mut times: Vec<u32> = self
            .of(per_minute, shape, fault)
            .iter()
            .map(|verdicts| verdicts[judge].unwrap_or(u32::MAX))
            .collect();
        times.sort_unstable();
        let middle = times.len() / 2;
        let (low, high) = (*times.get(middle.checked_sub(1)?)?, *times.get(middle)?);
        (high != u32::MAX).then(|| f64::midpoint(f64::from(low), f64::from(high)))
    }

    fn ratio(&self, per_minute: u32, shape: Shape, judge: usize, limit: usize) -> Option<f64> {
        let (_, fault) = FAULTS[0];
        let ours = self.median_s(per_minute, shape, fault, judge)?;
        Some(ours / self.median_s(per_minute, shape, fault, limit)?)
    }

    fn table(&self, shapes: &[Shape], value: impl Fn(u32, Shape, usize) -> Value) -> Value {
        let mut table = Map::new();
        for per_minute in PER_MINUTE {
            let mut by_shape = Map::new();
            for shape in shapes {
                let row: Map<String, Value> = JUDGES
                    .iter()
                    .enumerate()
                    .map(|(judge, name)| ((*name).to_owned(), value(per_minute, *shape, judge)))
                    .collect();
                by_shape.insert(shape.name().to_owned(), row.into());
            }
            table.insert(per_minute.to_string(), by_shape.into());
        }
        table.into()
    }

    /// Everything: by figure, requests a minute, shape of traffic, judge.
    #[must_use]
    pub fn json(&self) -> Value {
        let shapes = [SHAPES.as_slice(), &BY_PLAYER].concat();
        let mut all = Map::new();
        all.insert("seed".to_owned(), self.seed.into());
        all.insert("runs".to_owned(), self.runs.into());
        all.insert("fault_runs".to_owned(), self.fault_runs.into());
        all.insert("step_s".to_owned(), STEP_S.into());
        all.insert("horizon_s".to_owned(), HORIZON_S.into());
        all.insert("baseline_s".to_owned(), BASELINE_S.into());
        all.insert("alpha".to_owned(), ALPHA.into());
        all.insert("stable_error_rate".to_owned(), ERROR_RATE.into());
        all.insert("canary_share".to_owned(), CANARY_SHARE.into());
        let false_rate =
            |per_minute, shape, judge| json!(self.rolled_back(per_minute, shape, Fault::None, judge));
        all.insert("false_rollback_rate".to_owned(), self.table(&shapes, false_rate));
        let mut missed = Map::new();
        for (name, fault) in FAULTS {
            let median = |per_minute, shape, judge| json!(self.median_s(per_minute, shape, fault, judge));
            all.insert(format!("detect_{name}_median_s"), self.table(&SHAPES, median));
            let miss =
                |per_minute, shape, judge| json!(1.0 - self.rolled_back(per_minute, shape, fault, judge));
            missed.insert(name.to_owned(), self.table(&SHAPES, miss));
        }
        all.insert("missed_rate".to_owned(), missed.into());
        for (name, limit) in [
            ("ratio_vs_sprt_10x", SPRT),
            ("ratio_vs_sprt_split_10x", SPRT_SPLIT),
            ("ratio_vs_sprt_rates_10x", SPRT_RATES),
        ] {
            let ratio = |per_minute, shape, judge| json!(self.ratio(per_minute, shape, judge, limit));
            all.insert(name.to_owned(), self.table(&SHAPES, ratio));
        }
        all.insert("ours_false_rollback_rate_max".to_owned(), self.false_max().into());
        all.insert("missed_targets".to_owned(), self.missed_targets().into());
        all.into()
    }

    fn false_max(&self) -> f64 {
        PER_MINUTE
            .iter()
            .flat_map(|per_minute| {
                let shapes = SHAPES.into_iter().chain(BY_PLAYER);
                shapes.map(|shape| self.rolled_back(*per_minute, shape, Fault::None, OURS))
            })
            .fold(0.0, f64::max)
    }

    /// What ours is held to and does not keep.
    #[must_use]
    pub fn missed_targets(&self) -> Vec<String> {
        let mut missed = Vec::new();
        let false_max = self.false_max();
        if false_max > FALSE_MAX {
            missed.push(format!("false rollbacks {false_max:.4} > {FALSE_MAX}"));
        }
        match self.ratio(600, Shape::Steady, OURS, SPRT) {
            Some(ratio) if ratio <= RATIO_MAX => {}
            ratio => missed.push(format!(
                "time to 10x errors over the SPRT's {ratio:?} > {RATIO_MAX}"
            )),
        }
        missed
    }

    /// The same as a table for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut section = |title: &str, shapes: &[Shape], value: &dyn Fn(u32, Shape, usize) -> String| {
            text.push_str(&format!("\n{title}\n{:<18}", ""));
            for name in JUDGES {
                text.push_str(&format!("{name:>15}"));
            }
            for per_minute in PER_MINUTE {
                for shape in shapes {
                    text.push_str(&format!("\n{:<18}", format!("{per_minute}/min {}", shape.name())));
                    for judge in 0..JUDGES.len() {
                        text.push_str(&format!("{:>15}", value(per_minute, *shape, judge)));
                    }
                }
            }
            text.push('\n');
        };
        let all = [SHAPES.as_slice(), &BY_PLAYER].concat();
        section(
            &format!("false rollbacks, % of runs of {STEP_S} s without a fault"),
            &all,
            &|per_minute, shape, judge| {
                format!(
                    "{:.2}",
                    100.0 * self.rolled_back(per_minute, shape, Fault::None, judge)
                )
            },
        );
        for (name, fault) in FAULTS {
            section(
                &format!("{name}: median seconds to rollback (missed after {HORIZON_S} s, %)"),
                &SHAPES,
                &|per_minute, shape, judge| {
                    let missed = 100.0 * (1.0 - self.rolled_back(per_minute, shape, fault, judge));
                    let median = self.median_s(per_minute, shape, fault, judge);
                    format!(
                        "{} ({missed:.0})",
                        median.map_or_else(|| "-".to_owned(), |s| format!("{s:.0}"))
                    )
                },
            );
        }
        section(
            "ten times the errors: time over the SPRT's",
            &SHAPES,
            &|per_minute, shape, judge| {
                let ratio = self.ratio(per_minute, shape, judge, SPRT);
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
            },
        );
        for missed in self.missed_targets() {
            text.push_str(&format!("missed: {missed}\n"));
        }
        text
    }
}
