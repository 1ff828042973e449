//! The report as pictures: grouped bars on a logarithmic scale, written as SVG.

use std::fmt::Write as _;

use crate::report::{FAULTS, HORIZON_S, PER_MINUTE, Report, SHAPES, STEP_S};
use crate::traffic::{Fault, Shape};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 76.0;
const BOTTOM: f64 = 52.0;

/// A judge's position in the results, its name and its colour.
type Bar = (usize, &'static str, &'static str);

const PEERS: [Bar; 4] = [
    (0, "T-minus", "#1b6ca8"),
    (1, "Kayenta-style", "#e08e0b"),
    (2, "Flagger-style", "#7a5195"),
    (3, "peeked z-test", "#c0392b"),
];
const LIMIT: Bar = (4, "SPRT (limit)", "#9aa5ad");

struct Chart<'a> {
    title: &'a str,
    subtitle: String,
    bars: &'a [Bar],
    /// Decades.
    from: f64,
    to: f64,
    tick: fn(f64) -> String,
    /// Named, with one value for each bar; none is beyond the scale.
    groups: Vec<(String, String, Vec<Option<f64>>)>,
    /// What is written over a bar that is beyond the scale.
    beyond: &'a str,
    line: Option<(f64, &'a str)>,
}

/// How often a canary without a fault is rolled back.
#[must_use]
pub fn false_rollbacks(report: &Report) -> String {
    let mut groups = Vec::new();
    for per_minute in PER_MINUTE {
        for shape in SHAPES {
            let values = PEERS
                .iter()
                .map(|bar| Some(100.0 * report.rolled_back(per_minute, shape, Fault::None, bar.0)))
                .collect();
            groups.push((format!("{per_minute}/min"), shape.name().to_owned(), values));
        }
    }
    draw(&Chart {
        title: "False rollbacks: a canary that is no worse",
        subtitle: format!(
            "% of runs of {STEP_S} s with a look each second; 0.5 % errors on both sides, canary share 30 %"
        ),
        bars: &PEERS,
        from: -2.0,
        to: 2.0,
        tick: |value| format!("{value} %"),
        groups,
        beyond: "",
        line: Some((1.0, "alpha")),
    })
}

/// How soon one is rolled back that is.
#[must_use]
pub fn detection(report: &Report) -> String {
    let bars = [PEERS[0], PEERS[1], PEERS[2], PEERS[3], LIMIT];
    let names = ["10 × errors", "3 × errors", "30 % slower"];
    let mut groups = Vec::new();
    for (name, (_, fault)) in names.into_iter().zip(FAULTS) {
        for per_minute in PER_MINUTE {
            let values = bars
                .iter()
                .map(|bar| report.median_s(per_minute, Shape::Steady, fault, bar.0))
                .collect();
            groups.push((name.to_owned(), format!("{per_minute}/min"), values));
        }
    }
    draw(&Chart {
        title: "Time to rollback of a canary that is worse",
        subtitle: format!(
            "median seconds, steady traffic, canary share 30 %; no bar: not within {HORIZON_S} s in half of the runs"
        ),
        bars: &bars,
        from: 0.0,
        to: 4.0,
        tick: |value| format!("{value} s"),
        groups,
        beyond: "–",
        line: None,
    })
}

/// Both in one picture.
#[must_use]
pub fn both(report: &Report) -> String {
    let total = 2.0 * HEIGHT;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" width=\"{WIDTH}\" height=\"{total}\">\n\
         {}<g transform=\"translate(0 {HEIGHT})\">\n{}</g>\n</svg>\n",
        false_rollbacks(report),
        detection(report)
    )
}

fn draw(chart: &Chart<'_>) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let mut text = |x: f64, y: f64, anchor: &str, size: u32, words: &str| {
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\">{words}</text>"
        );
    };
    let bottom = HEIGHT - BOTTOM;
    let y = |value: f64| {
        let share = (value.log10() - chart.from) / (chart.to - chart.from);
        bottom - share.clamp(0.0, 1.0) * (bottom - TOP)
    };
    text(LEFT, 20.0, "start", 15, chart.title);
    text(LEFT, 38.0, "start", 11, &chart.subtitle);
    let mut shapes = String::new();
    for decade in chart.from as i32..=chart.to as i32 {
        let value = 10.0_f64.powi(decade);
        let at = y(value);
        text(LEFT - 6.0, at + 4.0, "end", 11, &(chart.tick)(value));
        let _ = writeln!(
            shapes,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#e3e6e8\"/>",
            WIDTH - RIGHT
        );
    }
    for (at, (_, name, colour)) in chart.bars.iter().enumerate() {
        let x = LEFT + 130.0 * at as f64;
        let _ = writeln!(
            shapes,
            "<rect x=\"{x:.1}\" y=\"50\" width=\"11\" height=\"11\" fill=\"{colour}\"/>"
        );
        text(x + 16.0, 60.0, "start", 12, name);
    }
    let group_width = (WIDTH - LEFT - RIGHT) / chart.groups.len() as f64;
    let bar_width = group_width * 0.8 / chart.bars.len() as f64;
    for (group, (first, second, values)) in chart.groups.iter().enumerate() {
        let left = LEFT + group_width * (group as f64 + 0.1);
        let middle = left + group_width * 0.4;
        text(middle, bottom + 17.0, "middle", 11, first);
        text(middle, bottom + 32.0, "middle", 11, second);
        for (bar, value) in values.iter().enumerate() {
            let x = left + bar_width * bar as f64;
            let (top, label) = match value {
                None => (bottom, chart.beyond.to_owned()),
                Some(value) if *value <= 0.0 => (bottom, "0".to_owned()),
                Some(value) => (y(*value), short(*value)),
            };
            let _ = writeln!(
                shapes,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\"/>",
                bar_width - 1.0,
                bottom - top,
                chart.bars[bar].2
            );
            text(x + bar_width / 2.0 - 0.5, top - 3.0, "middle", 8, &label);
        }
    }
    let _ = writeln!(
        shapes,
        "<path d=\"M{LEFT} {bottom}H{}\" stroke=\"#555\"/>",
        WIDTH - RIGHT
    );
    if let Some((value, name)) = chart.line {
        let at = y(value);
        text(WIDTH - RIGHT, at - 4.0, "end", 10, name);
        let _ = writeln!(
            shapes,
            "<path d=\"M{LEFT} {at:.1}H{}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>",
            WIDTH - RIGHT
        );
    }
    svg.push_str(&shapes);
    svg.push_str("</svg>\n");
    svg
}

fn short(value: f64) -> String {
    if value >= 10.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
