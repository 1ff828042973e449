//! From four marks to the page's place in the scan.

use image::GrayImage;

use crate::paper::layout::{HOLE_MM, MARK_MM, PAGE_MM};
use crate::paper::pixels::Pixels;
use crate::paper::{DetectError, Layout};

const MM_PER_INCH: f64 = 25.4;
/// Marks are looked for at about this resolution, boxes measured at up to twice that.
const MARK_PX_PER_MM: f64 = 100.0 / MM_PER_INCH;
const BOX_PX_PER_MM: f64 = 150.0 / MM_PER_INCH;
/// 100 to 300 dpi, and somewhat more room around.
const DPI: (f64, f64) = (88.0, 345.0);
/// So far a mark may lie from where the other three put it.
const MISFIT_MM_MAX: f64 = 0.8;
/// The page is tilted at most so far, with some room above 2°.
const TILT_MAX: f64 = 0.05;
const CANDIDATES_MAX: usize = 60;

/// Page millimetres to pixels: `x = a·mx + b·my + c`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ToImage {
    x: [f64; 3],
    y: [f64; 3],
}

impl ToImage {
    pub(crate) fn point(&self, x_mm: f64, y_mm: f64) -> (f64, f64) {
        let along = |row: &[f64; 3]| row[0] * x_mm + row[1] * y_mm + row[2];
        (along(&self.x), along(&self.y))
    }

    fn px_per_mm(&self) -> f64 {
        (self.x[0] * self.y[1] - self.x[1] * self.y[0]).abs().sqrt()
    }
}

/// The pixels to measure on, and where the page lies in them.
pub(crate) fn page(image: &GrayImage, layout: &Layout) -> Result<(Pixels, ToImage), DetectError> {
    let (width, height) = image.dimensions();
    let (short, long) = (f64::from(width.min(height)), f64::from(width.max(height)));
    let px_per_mm = (short / PAGE_MM.0 + long / PAGE_MM.1) / 2.0;
    let aspect = (long / short) / (PAGE_MM.1 / PAGE_MM.0);
    let dpi = px_per_mm * MM_PER_INCH;
    if !(DPI.0..=DPI.1).contains(&dpi) || !(0.9..=1.1).contains(&aspect) {
        return Err(DetectError::Size { width, height });
    }
    let whole = Pixels::of(image);
    let by = factor(px_per_mm, MARK_PX_PER_MM);
    let small = whole.smaller(by).without_specks();
    let marks = candidates(&small, px_per_mm / by as f64);
    let found = best_four(&marks, &small, layout, px_per_mm / by as f64)?;
    let measured_by = factor(px_per_mm, BOX_PX_PER_MM);
    let scale = by as f64 / measured_by as f64;
    let scaled = |row: [f64; 3]| row.map(|value| value * scale);
    let to_image = ToImage {
        x: scaled(found.x),
        y: scaled(found.y),
    };
    Ok((whole.smaller(measured_by).without_specks(), to_image))
}

fn factor(px_per_mm: f64, wanted: f64) -> usize {
    ((px_per_mm / wanted + 0.01) as usize).max(1)
}

/// The centre of something black, about as large and as square as a mark.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    x: f64,
    y: f64,
    /// How far its area is from a mark's.
    oddity: f64,
}

fn candidates(pixels: &Pixels, px_per_mm: f64) -> Vec<Candidate> {
    let paper = f64::from(pixels.quantile(0.5));
    let black = f64::from(pixels.quantile(0.001));
    let limit = ((paper + black) / 2.0) as u8;
    let side = MARK_MM * px_per_mm;
    let mut seen = vec![false; pixels.width * pixels.height];
    let mut found = Vec::new();
    let mut stack = Vec::new();
    for start in 0..seen.len() {
        let dark = |at: usize| pixels.at(at % pixels.width, at / pixels.width) < limit;
        if seen[start] || !dark(start) {
            continue;
        }
        seen[start] = true;
        stack.push(start);
        let (mut count, mut sum_x, mut sum_y) = (0.0, 0.0, 0.0);
        let (mut low, mut high) = ((usize::MAX, usize::MAX), (0, 0));
        while let Some(at) = stack.pop() {
            let (x, y) = (at % pixels.width, at / pixels.width);
            count += 1.0;
            sum_x += x as f64;
            sum_y += y as f64;
            low = (low.0.min(x), low.1.min(y));
            high = (high.0.max(x), high.1.max(y));
            let neighbours = [
                (x > 0).then(|| at - 1),
                (x + 1 < pixels.width).then_some(at + 1),
                (y > 0).then(|| at - pixels.width),
                (y + 1 < pixels.height).then_some(at + pixels.width),
            ];
            for next in neighbours.into_iter().flatten() {
                if !seen[next] && dark(next) {
                    seen[next] = true;
                    stack.push(next);
                }
            }
        }
        let (wide, tall) = ((high.0 - low.0 + 1) as f64, (high.1 - low.1 + 1) as f64);
        let square = (0.8..=1.3).contains(&(wide / side)) && (0.8..=1.3).contains(&(tall / side));
        let area = count / (side * side);
        if square && (0.62..=1.2).contains(&area) {
            found.push(Candidate {
                x: sum_x / count + 0.5,
                y: sum_y / count + 0.5,
                oddity: (area - 1.0).abs(),
            });
        }
    }
    found.sort_by(|a, b| a.oddity.total_cmp(&b.oddity));
    found.truncate(CANDIDATES_MAX);
    found
}

/// The four candidates that lie as the marks do; the one with the hole says which way up.
fn best_four(
    found: &[Candidate],
    pixels: &Pixels,
    layout: &Layout,
    px_per_mm: f64,
) -> Result<ToImage, DetectError> {
    let marks = layout.marks();
    let (middle_x, middle_y) = (pixels.width as f64 / 2.0, pixels.height as f64 / 2.0);
    // Clockwise from the top left, as they lie in the scan.
    let corner = |right: bool, low: bool| -> Vec<Candidate> {
        let inside = |c: &&Candidate| (c.x > middle_x) == right && (c.y > middle_y) == low;
        found.iter().filter(inside).take(8).copied().collect()
    };
    let corners = [
        corner(false, false),
        corner(true, false),
        corner(true, true),
        corner(false, true),
    ];
    let present = corners.iter().filter(|corner| !corner.is_empty()).count();
    let mut best: Option<(f64, ToImage)> = None;
    let mut way_up = false;
    for top_left in &corners[0] {
        for top_right in &corners[1] {
            for low_right in &corners[2] {
                for low_left in &corners[3] {
                    let four = [top_left, top_right, low_right, low_left];
                    let Some((misfit, to_image)) = turned(&four, &marks, pixels, px_per_mm, &mut way_up)
                    else {
                        continue;
                    };
                    if best.is_none_or(|(known, _)| misfit < known) {
                        best = Some((misfit, to_image));
                    }
                }
            }
        }
    }
    match best {
        Some((_, to_image)) => Ok(to_image),
        None if way_up => Err(DetectError::Orientation),
        None => Err(DetectError::Marks {
            found: present.min(3),
        }),
    }
}

/// Fits the page to four candidates in each of the four turns; the hole must be where one of them has it, and nowhere
/// else. `lies_right` is set once four lie as marks do, whatever their holes.
fn turned(
    four: &[&Candidate; 4],
    marks: &[crate::paper::Mark; 4],
    pixels: &Pixels,
    px_per_mm: f64,
    lies_right: &mut bool,
) -> Option<(f64, ToImage)> {
    let holes: Vec<usize> = (0..4)
        .filter(|at| has_hole(four[*at], pixels, px_per_mm))
        .collect();
    for turn in 0..4 {
        let at = |mark: usize| (four[(mark + turn) % 4].x, four[(mark + turn) % 4].y);
        let points: [(f64, f64); 4] = std::array::from_fn(at);
        let to_image = fit(marks, &points);
        let scale = to_image.px_per_mm();
        let misfit = (0..4)
            .map(|mark| {
                let (x, y) = to_image.point(marks[mark].x_mm, marks[mark].y_mm);
                (x - points[mark].0).hypot(y - points[mark].1) / scale
            })
            .fold(0.0, f64::max);
        if misfit > MISFIT_MM_MAX || !is_plain(&to_image, px_per_mm) {
            continue;
        }
        *lies_right = true;
        if holes.len() == 1 && holes[0] == turn % 4 {
            return Some((misfit, to_image));
        }
    }
    None
}

/// Turned by a multiple of 90° and a little, not mirrored, not stretched.
fn is_plain(to_image: &ToImage, px_per_mm: f64) -> bool {
    let along = (
        to_image.x[0].hypot(to_image.y[0]),
        to_image.x[1].hypot(to_image.y[1]),
    );
    let crossed = to_image.x[0] * to_image.x[1] + to_image.y[0] * to_image.y[1];
    let upright = to_image.x[0] * to_image.y[1] - to_image.x[1] * to_image.y[0] > 0.0;
    let tilt = to_image.x[0].abs().min(to_image.y[0].abs()) / along.0;
    let sized = |length: f64| (0.9..=1.1).contains(&(length / px_per_mm));
    upright
        && tilt < TILT_MAX
        && sized(along.0)
        && sized(along.1)
        && (along.0 / along.1 - 1.0).abs() < 0.02
        && crossed.abs() / (along.0 * along.1) < 0.02
}

fn has_hole(candidate: &Candidate, pixels: &Pixels, px_per_mm: f64) -> bool {
    // Compared with the black around it, half way to the mark's edge.
    let ring = (HOLE_MM + MARK_MM) / 4.0 * px_per_mm;
    let centre = pixels.between(candidate.x, candidate.y);
    let black: f64 = [(ring, 0.0), (-ring, 0.0), (0.0, ring), (0.0, -ring)]
        .iter()
        .map(|(dx, dy)| pixels.between(candidate.x + dx, candidate.y + dy))
        .sum::<f64>()
        / 4.0;
    centre - black > 0.4 * (f64::from(pixels.quantile(0.5)) - black)
}

/// Least squares over the four corners of a rectangle, which has a short closed form: with coordinates from its
/// centre, each coefficient is a projection of its own.
fn fit(marks: &[crate::paper::Mark; 4], points: &[(f64, f64); 4]) -> ToImage {
    let mean = |value: &dyn Fn(usize) -> f64| (0..4).map(value).sum::<f64>() / 4.0;
    let (centre_x, centre_y) = (mean(&|i| marks[i].x_mm), mean(&|i| marks[i].y_mm));
    let row = |coordinate: &dyn Fn(usize) -> f64| {
        let project = |from_centre: &dyn Fn(usize) -> f64| {
            let along: f64 = (0..4).map(|i| coordinate(i) * from_centre(i)).sum();
            along / (0..4).map(|i| from_centre(i).powi(2)).sum::<f64>()
        };
        let a = project(&|i| marks[i].x_mm - centre_x);
        let b = project(&|i| marks[i].y_mm - centre_y);
        [a, b, mean(coordinate) - a * centre_x - b * centre_y]
    };
    ToImage {
        x: row(&|i| points[i].0),
        y: row(&|i| points[i].1),
    }
}
