//! One box: how much ink is in it, measured against its own rim and the paper around it.

use crate::paper::find::ToImage;
use crate::paper::layout::{BOX_MM, CheckBox, RIM_MM};
use crate::paper::pixels::Pixels;
use crate::paper::{Tick, TickState};

/// The rim is looked for this far around its place, in steps.
const SEARCH_MM: f64 = 0.8;
const STEP_MM: f64 = 0.1;
/// Half the side of the inside that is measured: clear of the rim and its blur.
const INSIDE_MM: f64 = BOX_MM / 2.0 - RIM_MM / 2.0 - 0.45;
/// Samples along one side of the inside.
const GRID: usize = 44;
/// The rim must differ from the paper by this much of 255.
const CONTRAST_MIN: f64 = 55.0;
/// This share of the rim must be there.
const RIM_SHARE_MIN: f64 = 0.85;

/// Darkness is 0 for paper, 1 for the rim. From here on it is ink …
const INK: f64 = 0.45;
/// … from here on it joins pieces of ink, where a coarse scan thins a line …
const JOIN: f64 = 0.3;
/// … and from here on it may be ink.
const TRACE: f64 = 0.2;
/// Less traces than this, and none large: the box is empty.
const EMPTY_MAX: f64 = 0.012;
/// A mark: so much ink, its largest piece so long (of the inside's side), and not a blackened box.
const INK_MIN: f64 = 0.035;
const INK_MAX: f64 = 0.60;
const LENGTH_MIN: f64 = 0.55;
/// … and so wide: what an eraser leaves of a tick is flat.
const WIDTH_MIN: f64 = 0.35;
/// Of everything that may be ink, so much is.
const FIRM_MIN: f64 = 0.25;

pub(crate) fn tick(pixels: &Pixels, to_image: &ToImage, place: &CheckBox) -> Tick {
    let (state, fill) = judge(pixels, to_image, place);
    Tick {
        zone: place.zone.clone(),
        state,
        fill: fill as f32,
    }
}

fn judge(pixels: &Pixels, to_image: &ToImage, place: &CheckBox) -> (TickState, f64) {
    let value = |x_mm: f64, y_mm: f64| {
        let (x, y) = to_image.point(x_mm, y_mm);
        pixels.between(x, y)
    };
    let (x_mm, y_mm) = rim_place(&value, place);
    let paper = quantile(ring(&value, x_mm, y_mm, BOX_MM / 2.0 + 1.3), 0.7);
    let rim = ring(&value, x_mm, y_mm, BOX_MM / 2.0);
    let black = quantile(rim.clone(), 0.5);
    let dark = |value: f64| (paper - value) / (paper - black);
    if paper - black < CONTRAST_MIN {
        return (TickState::Unclear, 0.0);
    }
    let there = rim.iter().filter(|value| dark(**value) > 0.5).count() as f64 / rim.len() as f64;
    let step = 2.0 * INSIDE_MM / GRID as f64;
    let along = |index: usize| (index as f64 + 0.5) * step - INSIDE_MM;
    let inside: Vec<f64> = (0..GRID * GRID)
        .map(|at| dark(value(x_mm + along(at % GRID), y_mm + along(at / GRID))))
        .collect();
    let share =
        |least: f64| inside.iter().filter(|value| **value > least).count() as f64 / inside.len() as f64;
    let (ink, trace) = (share(INK), share(TRACE));
    let state = if there < RIM_SHARE_MIN {
        TickState::Unclear
    } else if trace <= EMPTY_MAX {
        TickState::Empty
    } else if (INK_MIN..=INK_MAX).contains(&ink) && is_large(&inside) && ink / trace >= FIRM_MIN {
        TickState::Ticked
    } else {
        TickState::Unclear
    };
    (state, ink)
}

/// Where the rim lies darkest.
fn rim_place(value: &impl Fn(f64, f64) -> f64, place: &CheckBox) -> (f64, f64) {
    let steps = (SEARCH_MM / STEP_MM) as i32;
    let mut best = (f64::MAX, place.x_mm, place.y_mm);
    for dy in -steps..=steps {
        for dx in -steps..=steps {
            let (x_mm, y_mm) = (
                place.x_mm + f64::from(dx) * STEP_MM,
                place.y_mm + f64::from(dy) * STEP_MM,
            );
            // A little pull to the middle decides between equals.
            let far = f64::from(dx * dx + dy * dy) * 0.01;
            let sum: f64 = ring(value, x_mm, y_mm, BOX_MM / 2.0).iter().sum::<f64>() / 96.0 + far;
            if sum < best.0 {
                best = (sum, x_mm, y_mm);
            }
        }
    }
    (best.1, best.2)
}

/// Values along a square around a point, 24 on each side.
fn ring(value: &impl Fn(f64, f64) -> f64, x_mm: f64, y_mm: f64, half_mm: f64) -> Vec<f64> {
    const SIDE: i32 = 24;
    let mut values = Vec::with_capacity(96);
    for index in 0..SIDE {
        let along = half_mm * (2.0 * f64::from(index) / f64::from(SIDE) - 1.0);
        values.push(value(x_mm + along, y_mm - half_mm));
        values.push(value(x_mm + half_mm, y_mm + along));
        values.push(value(x_mm - along, y_mm + half_mm));
        values.push(value(x_mm - half_mm, y_mm - along));
    }
    values
}

fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}

/// Whether one connected piece that has ink in it spans enough of the inside, both ways.
fn is_large(inside: &[f64]) -> bool {
    let mut seen = vec![false; inside.len()];
    for start in 0..inside.len() {
        if seen[start] || inside[start] <= INK {
            continue;
        }
        let mut stack = vec![start];
        seen[start] = true;
        let (mut low, mut high) = ((GRID, GRID), (0, 0));
        while let Some(at) = stack.pop() {
            let (x, y) = (at % GRID, at / GRID);
            low = (low.0.min(x), low.1.min(y));
            high = (high.0.max(x), high.1.max(y));
            for next_y in y.saturating_sub(1)..(y + 2).min(GRID) {
                for next_x in x.saturating_sub(1)..(x + 2).min(GRID) {
                    let next = next_y * GRID + next_x;
                    if !seen[next] && inside[next] > JOIN {
                        seen[next] = true;
                        stack.push(next);
                    }
                }
            }
        }
        let extent = |low: usize, high: usize| (high - low + 1) as f64 / GRID as f64;
        let (wide, tall) = (extent(low.0, high.0), extent(low.1, high.1));
        if wide.max(tall) >= LENGTH_MIN && wide.min(tall) >= WIDTH_MIN {
            return true;
        }
    }
    false
}
