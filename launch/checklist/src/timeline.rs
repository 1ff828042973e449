//! When each item was to run and when its gates did, in hours of the plan: a pure function of the launch's state.

use tminus_plan::{Attempt, AttemptEnd, Item, ItemState, LaunchState};

use crate::format;
use crate::view::{TimelineRow, TimelineView};

/// Labelled spans of the axis; more cannot be read on paper.
const SPANS_MAX: f64 = 8.0;
/// The axis reaches so many times the plan's end, however late something ran.
const REACH_MAX: f64 = 2.0;
/// Runs nearer to each other than this share of the axis are one bar: a row has few enough bars for any number of attempts.
const GAP_SHARE: f64 = 1.0 / 400.0;

pub(crate) fn timeline(state: &LaunchState) -> TimelineView {
    let plan_h = state.plan.ends_h().max(0.25);
    let runs: Vec<Runs> = state.items.iter().map(|item| runs(state, item)).collect();
    let last_h = runs.iter().flat_map(Runs::ends).fold(plan_h, f64::max);
    let (hours, labels_h) = axis(last_h.min(plan_h * REACH_MAX));
    let rows = state.items_with_plan().zip(runs);
    TimelineView {
        hours,
        labels_h,
        rows: rows.map(|((item, _), runs)| row(item, runs, hours)).collect(),
    }
}

/// In hours of the plan, from and to.
#[derive(Debug, Default)]
struct Runs {
    /// Those whose evidence the verdicts rest on.
    deciding: Vec<(f64, f64)>,
    others: Vec<(f64, f64)>,
}

impl Runs {
    fn ends(&self) -> impl Iterator<Item = f64> {
        self.deciding.iter().chain(&self.others).map(|(_, to)| *to)
    }
}

fn runs(state: &LaunchState, item: &ItemState) -> Runs {
    let hour = |ms| state.clock.elapsed_h(ms);
    let mut runs = Runs::default();
    for gate in &item.gates {
        for (at, attempt) in gate.attempts.iter().enumerate() {
            let (from_h, to_h) = (hour(attempt.started_at_ms), hour(ended_at_ms(attempt)));
            let newest = at + 1 == gate.attempts.len();
            let deciding = newest && matches!(attempt.end, AttemptEnd::Evidence { .. });
            let list = if deciding {
                &mut runs.deciding
            } else {
                &mut runs.others
            };
            list.push((from_h, to_h.max(from_h)));
        }
    }
    runs
}

/// Of an attempt without an end only the start is known.
fn ended_at_ms(attempt: &Attempt) -> u64 {
    match &attempt.end {
        AttemptEnd::Open => attempt.started_at_ms,
        AttemptEnd::Evidence { evidence, .. } => evidence.ended_at_ms,
        AttemptEnd::CouldNotRun { at_ms, .. } => *at_ms,
    }
}

fn row(item: &Item, runs: Runs, hours: f64) -> TimelineRow {
    let first_h = runs
        .deciding
        .iter()
        .map(|run| run.0)
        .fold(f64::INFINITY, f64::min);
    let last_h = runs
        .deciding
        .iter()
        .map(|run| run.1)
        .fold(f64::NEG_INFINITY, f64::max);
    let ran = !runs.deciding.is_empty();
    let late_h = rounded(last_h - item.window.to_h, 100.0);
    TimelineRow {
        number: item.number,
        title: item.title.clone(),
        planned: format::hours(item.window.from_h, item.window.to_h),
        planned_h: on_axis((item.window.from_h, item.window.to_h), hours),
        ran: if ran {
            format::hours(rounded(first_h, 100.0), rounded(last_h, 100.0))
        } else {
            String::new()
        },
        ran_h: merged(runs.deciding, hours),
        others_h: merged(runs.others, hours),
        late: if ran && late_h > 0.0 {
            format!("+{} h", format::number(late_h))
        } else {
            String::new()
        },
    }
}

/// Length of the axis and the hours that are labelled, evenly from its one end to the other.
fn axis(last_h: f64) -> (f64, Vec<f64>) {
    let mut steps = [0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0].into_iter();
    let mut step = 0.25;
    // No plan is longer than a year, so that this ends soon.
    while (last_h / step).ceil() > SPANS_MAX {
        step = steps.next().unwrap_or(step * 2.0).max(step);
    }
    let spans = (last_h / step).ceil().max(1.0);
    let labels = (0..=spans as u32).map(|n| f64::from(n) * step).collect();
    (spans * step, labels)
}

fn merged(mut runs: Vec<(f64, f64)>, hours: f64) -> Vec<(f64, f64)> {
    runs.sort_by(|l, r| l.0.total_cmp(&r.0).then(l.1.total_cmp(&r.1)));
    let mut bars: Vec<(f64, f64)> = Vec::new();
    for (from_h, to_h) in runs {
        match bars.last_mut() {
            Some(bar) if from_h <= bar.1 + hours * GAP_SHARE => bar.1 = bar.1.max(to_h),
            _ => bars.push((from_h, to_h)),
        }
    }
    // What lies beyond the axis stands as one bar at its end.
    let mut bars: Vec<_> = bars.into_iter().map(|bar| on_axis(bar, hours)).collect();
    bars.dedup();
    bars
}

fn on_axis((from_h, to_h): (f64, f64), hours: f64) -> (f64, f64) {
    let at = |hour: f64| rounded(hour.clamp(0.0, hours), 1000.0);
    (at(from_h), at(to_h))
}

/// The axis is some 80 mm long: what is finer cannot be seen, and makes figures that nobody wants to read.
fn rounded(hours: f64, per_hour: f64) -> f64 {
    (hours * per_hour).round() / per_hour
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_few_even_labels_and_reaches_the_end() {
        for (last_h, hours, count) in [
            (48.0, 48.0, 9),
            (48.1, 60.0, 6),
            (0.25, 0.25, 2),
            (2.0, 2.0, 9),
            (96.0, 96.0, 9),
            (17_520.0, 18_432.0, 7),
        ] {
            let (length, labels) = axis(last_h);
            assert_eq!((length, labels.len()), (hours, count), "{last_h}");
            assert_eq!((labels[0], labels[count - 1]), (0.0, hours), "{last_h}");
        }
    }

    #[test]
    fn runs_that_touch_are_one_bar_and_none_leaves_the_axis() {
        let runs = vec![
            (10.0, 12.0),
            (1.0, 2.0),
            (12.05, 13.0),
            (1.5, 1.6),
            (47.0, 1e9),
            (1e8, 1e9),
        ];
        assert_eq!(merged(runs, 48.0), [(1.0, 2.0), (10.0, 13.0), (47.0, 48.0)]);
        assert_eq!(merged(vec![(50.0, 51.0), (60.0, 61.0)], 48.0), [(48.0, 48.0)]);
        let many = (0..10_000)
            .map(|n| (f64::from(n) * 0.0048, f64::from(n) * 0.0048))
            .collect();
        assert!(merged(many, 48.0).len() <= 401);
    }
}
