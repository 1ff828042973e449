//! A chart as an SVG text: axes, lines or points, a legend. Nothing else.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 52.0;
/// Tell-apart colours also for the colour-blind (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#332288", "#666666",
];

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    Linear,
    /// Values below 1 are drawn at 1.
    Logarithmic,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mark {
    Line,
    Dashed,
    Point,
}

#[derive(Debug)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    mark: Mark,
}

impl Series {
    pub fn line(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self::new(name, points, Mark::Line)
    }

    pub fn dashed(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self::new(name, points, Mark::Dashed)
    }

    pub fn point(name: &str, point: (f64, f64)) -> Self {
        Self::new(name, vec![point], Mark::Point)
    }

    fn new(name: &str, points: Vec<(f64, f64)>, mark: Mark) -> Self {
        Self {
            name: name.to_owned(),
            points,
            mark,
        }
    }
}

#[derive(Debug)]
pub struct Chart {
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub scale: Scale,
    pub series: Vec<Series>,
}

/// Values that go from edge to edge of the drawing.
struct Axis {
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Chart {
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let x_axis = Axis::linear(points().map(|point| point.0), false);
        let y_axis = match self.scale {
            Scale::Linear => Axis::linear(points().map(|point| point.1), true),
            Scale::Logarithmic => Axis::decades(points().map(|point| point.1)),
        };
        let x_at = |x: f64| LEFT + x_axis.share(x) * (WIDTH - LEFT - RIGHT);
        let y_at = |y: f64| {
            let y = if self.scale == Scale::Logarithmic {
                y.max(1.0).log10()
            } else {
                y
            };
            HEIGHT - BOTTOM - y_axis.share(y) * (HEIGHT - TOP - BOTTOM)
        };
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-label=\"{title}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{title}</text>\n",
            title = self.title,
        );
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &x_axis.ticks {
            let x = x_at(*tick);
            let below = bottom + 18.0;
            let _ = writeln!(
                svg,
                "<path d=\"M{x:.1} {bottom}v5\" stroke=\"#222\"/><text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{tick}</text>"
            );
        }
        for tick in &y_axis.ticks {
            let value = if self.scale == Scale::Logarithmic {
                10_f64.powf(*tick)
            } else {
                *tick
            };
            let (y, left) = (y_at(value), LEFT - 8.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{left}\" y=\"{y:.1}\" dy=\"4\" text-anchor=\"end\">{value}</text>"
            );
        }
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#222\"/>"
        );
        let (x_middle, y_middle) = ((LEFT + right) / 2.0, (TOP + bottom) / 2.0);
        let (x_label, y_label, label_y) = (&self.x_label, &self.y_label, HEIGHT - 12.0);
        let _ = writeln!(
            svg,
            "<text x=\"{x_middle}\" y=\"{label_y}\" text-anchor=\"middle\">{x_label}</text>"
        );
        let _ = writeln!(
            svg,
            "<text transform=\"translate(18 {y_middle}) rotate(-90)\" text-anchor=\"middle\">{y_label}</text>"
        );
        for (number, series) in self.series.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let (legend_x, legend_y) = (right + 16.0, TOP + 10.0 + 20.0 * number as f64);
            let dash = if series.mark == Mark::Dashed {
                " stroke-dasharray=\"5 4\""
            } else {
                ""
            };
            if series.mark == Mark::Point {
                for (x, y) in &series.points {
                    let _ = writeln!(
                        svg,
                        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"6\" fill=\"{colour}\"/>",
                        x_at(*x),
                        y_at(*y)
                    );
                }
                let _ = write!(
                    svg,
                    "<circle cx=\"{}\" cy=\"{legend_y}\" r=\"5\" fill=\"{colour}\"/>",
                    legend_x + 10.0
                );
            } else {
                let places: Vec<String> = series
                    .points
                    .iter()
                    .map(|(x, y)| format!("{:.1},{:.1}", x_at(*x), y_at(*y)))
                    .collect();
                let _ = writeln!(
                    svg,
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>",
                    places.join(" ")
                );
                let _ = write!(
                    svg,
                    "<path d=\"M{legend_x} {legend_y}h20\" stroke=\"{colour}\" stroke-width=\"2\"{dash}/>"
                );
            }
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{legend_y}\" dy=\"4\">{}</text>",
                legend_x + 26.0,
                series.name
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Axis {
    fn linear(values: impl Iterator<Item = f64>, from_zero: bool) -> Self {
        let (lowest, highest) = span(values);
        let from = if from_zero { 0.0 } else { lowest };
        let rough = ((highest - from) / 6.0).max(f64::MIN_POSITIVE);
        let magnitude = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|times| times * magnitude)
            .find(|step| *step >= rough);
        let step = step.unwrap_or(magnitude);
        let (first, last) = ((from / step).floor() as i64, (highest / step).ceil() as i64);
        Self {
            from: first as f64 * step,
            to: last as f64 * step,
            ticks: (first..=last).map(|number| number as f64 * step).collect(),
        }
    }

    /// In powers of ten, from 1.
    fn decades(values: impl Iterator<Item = f64>) -> Self {
        let to = span(values).1.max(10.0).log10().ceil();
        let ticks = (0..=to as i32).map(f64::from).collect();
        Self { from: 0.0, to, ticks }
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }
}

fn span(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}
