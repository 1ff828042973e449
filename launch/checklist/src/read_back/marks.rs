//! Which mark stands in a box, by the pixels in it.

use super::content::MarkBox;
use super::raster::{PIXELS_PER_PT, Raster};
use crate::words::Shape;

/// Points of a grid over the box, each way.
const GRID: usize = 24;
/// Half of the pen, and from where on there must be paper; in sides of the box.
const PEN: f64 = 0.05;
const PAPER: f64 = 0.16;
/// The box's own line and what it bleeds into.
const MARGIN: f64 = 0.16;
/// Darker than this is ink: the marks' colours have less, water mark and wash have more.
const INK: f64 = 170.0;
/// Share of the grid's points on the pen's way, and beside it, that must be as they should.
const AGREES: f64 = 0.8;

/// Lines from corner to corner, in sides of the box, y downwards; as the template draws them.
type Line = ([f64; 2], [f64; 2]);
const TICK: &[Line] = &[([0.22, 0.53], [0.42, 0.73]), ([0.42, 0.73], [0.79, 0.28])];
const CROSS: &[Line] = &[([0.27, 0.27], [0.73, 0.73]), ([0.73, 0.27], [0.27, 0.73])];
const BAR: &[Line] = &[([0.26, 0.5], [0.74, 0.5])];

/// None: none of the three, or more than one.
pub(crate) fn shape(raster: &Raster, page_height_pt: f64, at: MarkBox) -> Option<Shape> {
    let scale = f64::from(PIXELS_PER_PT);
    let (left, top) = (at.x_pt * scale, (page_height_pt - at.y_pt - at.side_pt) * scale);
    let side = at.side_pt * scale;
    let shapes = [(Shape::Tick, TICK), (Shape::Cross, CROSS), (Shape::Bar, BAR)];
    let mut agreeing = shapes.into_iter().filter(|(_, lines)| {
        let (mut ink, mut paper) = (Share::default(), Share::default());
        for row in 0..GRID {
            for column in 0..GRID {
                let place = |n: usize| (n as f64 + 0.5) / GRID as f64;
                let (x, y) = (place(column), place(row));
                let rim = |v: f64| !(MARGIN..=1.0 - MARGIN).contains(&v);
                if rim(x) || rim(y) {
                    continue;
                }
                let distance = lines
                    .iter()
                    .map(|line| distance([x, y], *line))
                    .fold(f64::INFINITY, f64::min);
                let dark = raster.lightness(left + x * side, top + y * side) < INK;
                if distance <= PEN {
                    ink.count(dark);
                } else if distance >= PAPER {
                    paper.count(!dark);
                }
            }
        }
        ink.of() >= AGREES && paper.of() >= AGREES
    });
    let first = agreeing.next()?;
    agreeing.next().is_none().then_some(first.0)
}

#[derive(Debug, Default)]
struct Share {
    all: u32,
    right: u32,
}

impl Share {
    fn count(&mut self, right: bool) {
        self.all += 1;
        self.right += u32::from(right);
    }

    fn of(&self) -> f64 {
        f64::from(self.right) / f64::from(self.all.max(1))
    }
}

fn distance([x, y]: [f64; 2], ([x1, y1], [x2, y2]): Line) -> f64 {
    let (dx, dy) = (x2 - x1, y2 - y1);
    let along = (((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy)).clamp(0.0, 1.0);
    (x - x1 - along * dx).hypot(y - y1 - along * dy)
}
