//! Many runs of one kind of traffic, and when each judge rolled back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::judges::{Flagger, Judge, Kayenta, Knows, Mutant, Ours, Peeked, Sprt};
use crate::traffic::{Fault, Model, Shape, Traffic};

/// In the order of all results.
pub const JUDGES: [&str; 8] = [
    "ours",
    "kayenta",
    "flagger",
    "peeked_z_test",
    "sprt",
    "sprt_split",
    "sprt_rates",
    "ours_every_error",
];
pub const OURS: usize = 0;
pub const SPRT: usize = 4;
pub const SPRT_SPLIT: usize = 5;
pub const SPRT_RATES: usize = 6;
/// A rollout begins with so many seconds in which only the stable side has traffic.
pub const BASELINE_S: u32 = 60;
/// Runs that one thread takes at a time.
const CHUNK: u64 = 50;

/// Which traffic, for how long, how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub shape: Shape,
    pub fault: Fault,
    pub per_minute: u32,
    /// Seconds with traffic on the canary.
    pub length_s: u32,
    pub runs: u64,
}

/// Seconds until each judge rolled back; none when it did not.
pub type Verdicts = [Option<u32>; JUDGES.len()];

fn judges(fault: Fault) -> [Box<dyn Judge>; JUDGES.len()] {
    [
        Box::new(Ours::new(None)),
        Box::new(Kayenta::default()),
        Box::new(Flagger::default()),
        Box::new(Peeked::default()),
        Box::new(Sprt::new(Knows::Ratio, fault)),
        Box::new(Sprt::new(Knows::Split, fault)),
        Box::new(Sprt::new(Knows::Rates, fault)),
        Box::new(Ours::new(Some(Mutant::EveryError))),
    ]
}

/// One run of all judges on the same traffic.
#[must_use]
pub fn run(scenario: &Scenario, model: &Model, seed: u64) -> Verdicts {
    judge(scenario, model, seed, &mut judges(scenario.fault))
}

/// One run of ours, broken on purpose or not.
#[must_use]
pub fn run_ours(scenario: &Scenario, seed: u64, mutant: Option<Mutant>) -> Option<u32> {
    let mut ours: [Box<dyn Judge>; 1] = [Box::new(Ours::new(mutant))];
    judge(scenario, &scenario.model(), seed, &mut ours)[0]
}

fn judge<const N: usize>(
    scenario: &Scenario,
    model: &Model,
    seed: u64,
    judges: &mut [Box<dyn Judge>; N],
) -> [Option<u32>; N] {
    let mut traffic = Traffic::new(model, seed);
    for _ in 0..BASELINE_S {
        let second = traffic.baseline();
        for judge in judges.iter_mut() {
            judge.baseline(second);
        }
    }
    let mut verdicts = [None; N];
    for at in 1..=scenario.length_s {
        let second = traffic.pass_second();
        for (judge, verdict) in judges.iter_mut().zip(&mut verdicts) {
            if verdict.is_none() && judge.looks(second) {
                *verdict = Some(at);
            }
        }
        if verdicts.iter().all(Option::is_some) {
            break;
        }
    }
    verdicts
}

impl Scenario {
    #[must_use]
    pub fn model(&self) -> Model {
        Model::new(self.shape, self.fault, self.per_minute, self.length_s)
    }
}

/// Runs all scenarios, each from the same first seed, on so many threads. Results do not depend on their number.
#[must_use]
pub fn run_all(scenarios: &[Scenario], first_seed: u64, threads: usize) -> Vec<Vec<Verdicts>> {
    let chunks: Vec<(usize, u64)> = scenarios
        .iter()
        .enumerate()
        .flat_map(|(at, scenario)| {
            (0..scenario.runs)
                .step_by(CHUNK as usize)
                .map(move |from| (at, from))
        })
        .collect();
    let models: Vec<Model> = scenarios.iter().map(Scenario::model).collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, u64, Vec<Verdicts>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((at, from)) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let scenario = &scenarios[*at];
                    let to = (from + CHUNK).min(scenario.runs);
                    let verdicts = (*from..to)
                        .map(|run| self::run(scenario, &models[*at], first_seed.wrapping_add(run)))
                        .collect();
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((*at, *from, verdicts));
                }
            });
        }
    });
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, from, _)| (*at, *from));
    let mut results = vec![Vec::new(); scenarios.len()];
    for (at, _, verdicts) in done {
        results[at].extend(verdicts);
    }
    results
}
