//! The HTML edition's pictures: bars of the timeline, charts. Each stands beside its words and figures.

use std::fmt::Write as _;

use super::escape;
use super::language::Words;
use crate::view::{ChartView, TimelineRow, TimelineView};

/// What the bars show is the row's text too.
pub(super) fn timeline_row(row: &TimelineRow, timeline: &TimelineView, words: Words) -> String {
    let mut bars = String::new();
    for hour in &timeline.labels_h {
        let x = 1000.0 * hour / timeline.hours;
        // Writing to a string cannot fail.
        let _ = write!(bars, "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"76\"/>");
    }
    bars += &bar("plan", row.planned_h, timeline.hours);
    for (class, spans) in [("other", &row.others_h), ("ran", &row.ran_h)] {
        bars.extend(spans.iter().map(|span| bar(class, *span, timeline.hours)));
    }
    let ran = match row.ran.as_str() {
        "" => words.tell(["未运行", "not run"]),
        ran => format!("<strong>{}</strong>", escape(ran)),
    };
    let late = match row.late.as_str() {
        "" => String::new(),
        late => format!(" · {} {}", words.tell(["超窗", "late"]), escape(late)),
    };
    format!(
        "<tr><td><strong>{}</strong> {}</td>\
         <td class=\"bars\"><svg viewBox=\"0 0 1000 76\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{bars}</svg></td>\
         <td><span class=\"soft\">{}</span><br>{ran}{late}</td></tr>",
        row.number,
        words.say([
            &format!("<strong>{}</strong>", escape(&row.title.zh)),
            &escape(&row.title.en)
        ]),
        escape(&row.planned),
    )
}

/// In a picture of 1000 by 76, as on paper: planned above, ran below.
pub(super) fn bar(class: &str, (from_h, to_h): (f64, f64), hours: f64) -> String {
    let at = |hour: f64| (1000.0 * hour / hours).clamp(0.0, 1000.0);
    let width = (at(to_h) - at(from_h)).max(8.0);
    let x = at(from_h).min(1000.0 - width);
    let (y, height) = match class {
        "plan" => (9, 25),
        "other" => (51, 7),
        _ => (42, 25),
    };
    format!("<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>")
}

/// As on paper; the figures of the axes are its text.
pub(super) fn chart_figure(chart: &ChartView, words: Words) -> String {
    let scale = |value: f64, max: f64| if max > 0.0 { value / max } else { 0.0 };
    let mut points = String::new();
    for (x, y) in &chart.points {
        let (x, y) = (
            scale(*x, chart.x_max) * 400.0,
            80.0 - scale(y.max(0.0), chart.y_max) * 80.0,
        );
        // Writing to a string cannot fail.
        let _ = write!(points, "{x:.1},{y:.1} ");
    }
    let (name, max, end) = (
        escape(&chart.name),
        escape(&chart.y_max_text),
        escape(&chart.x_max_text),
    );
    let most = if words.0.has_en() { "max" } else { "最大" };
    format!(
        "<figure class=\"chart\"><figcaption><code>{name}</code> {most} {max}</figcaption>\
         <svg viewBox=\"0 0 400 80\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}, {most} {max}, 0 – {end}\">\
         <polyline points=\"{points}\"/></svg><div class=\"axis\"><span>0</span><span>{end}</span></div></figure>"
    )
}
