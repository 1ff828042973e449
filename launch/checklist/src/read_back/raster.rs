//! Pages as pictures, by two programs that share no code for it, and where they differ.

use std::sync::Arc;

use hayro::hayro_interpret::InterpreterSettings;
use hayro::hayro_syntax::Pdf;
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::{RenderCache, RenderSettings};
use typst_layout::PagedDocument;
use typst_render::RenderOptions;

/// 150 dots per inch: the smallest mark has 15 of them.
pub(crate) const PIXELS_PER_PT: f32 = 150.0 / 72.0;
/// A larger page is no page of a checklist; larger than A3.
const MAX_SIDE_PT: f32 = 1300.0;
/// Of the Gaussian that takes away how renderers smooth edges.
const SIGMA_PX: f32 = 1.5;
const REACH_PX: usize = 5;
pub(crate) const TILE_PX: usize = 16;
/// Tiles overlap by half, so that a figure on the border of two is whole in a third.
const STRIDE_PX: usize = TILE_PX / 2;

/// Red, green, blue, row by row from the top.
#[derive(Debug, Clone)]
pub(crate) struct Raster {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Raster {
    fn from_opaque_rgba(width: usize, height: usize, rgba: &[u8]) -> Self {
        let rgb = rgba
            .as_chunks::<4>()
            .0
            .iter()
            .flat_map(|[r, g, b, _]| [*r, *g, *b]);
        Self {
            width,
            height,
            rgb: rgb.collect(),
        }
    }

    pub(crate) fn pixel(&self, x: usize, y: usize) -> Option<[u8; 3]> {
        let at = (y * self.width + x) * 3;
        let inside = x < self.width && y < self.height;
        let [r, g, b] = self.rgb.get(at..at + 3)? else {
            return None;
        };
        inside.then_some([*r, *g, *b])
    }

    /// 0 black to 255 white; white outside.
    pub(crate) fn lightness(&self, x: f64, y: f64) -> f64 {
        if x < 0.0 || y < 0.0 {
            return 255.0;
        }
        let [r, g, b] = self.pixel(x as usize, y as usize).unwrap_or([255; 3]).map(f64::from);
        0.3 * r + 0.59 * g + 0.11 * b
    }
}

/// The pages of a PDF, drawn from its bytes, one after the other.
///
/// # Errors
/// One sentence; also what `each` says.
pub(crate) fn each_page(
    pdf: &[u8],
    max_pages: usize,
    mut each: impl FnMut(usize, Raster) -> Result<(), String>,
) -> Result<usize, String> {
    let pdf = Pdf::new(Arc::new(pdf.to_vec())).map_err(|e| format!("it cannot be drawn: {e:?}"))?;
    let cache = RenderCache::new();
    let settings = InterpreterSettings::default();
    let pages = pdf.pages();
    if pages.len() > max_pages {
        return Err(format!("it has more than {max_pages} pages"));
    }
    for (index, page) in pages.iter().enumerate() {
        let (width, height) = page.render_dimensions();
        if !(1.0..=MAX_SIDE_PT).contains(&width) || !(1.0..=MAX_SIDE_PT).contains(&height) {
            return Err(format!("page {} measures {width} by {height} points", index + 1));
        }
        let drawn = hayro::render(
            page,
            &cache,
            &settings,
            &RenderSettings {
                x_scale: PIXELS_PER_PT,
                y_scale: PIXELS_PER_PT,
                bg_color: WHITE,
                ..RenderSettings::default()
            },
        );
        let (width, height) = (usize::from(drawn.width()), usize::from(drawn.height()));
        each(
            index,
            Raster::from_opaque_rgba(width, height, drawn.data_as_u8_slice()),
        )?;
    }
    Ok(pages.len())
}

/// A page as the typesetter itself draws it.
pub(crate) fn reference(document: &PagedDocument, index: usize) -> Option<Raster> {
    let options = RenderOptions {
        pixel_per_pt: f64::from(PIXELS_PER_PT).into(),
        ..RenderOptions::default()
    };
    let drawn = typst_render::render(document.pages().get(index)?, &options);
    Some(Raster::from_opaque_rgba(
        drawn.width() as usize,
        drawn.height() as usize,
        drawn.data(),
    ))
}

/// A square of the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tile {
    pub x_px: usize,
    pub y_px: usize,
    /// Mean absolute difference after the blur, of the largest possible.
    pub percent: f32,
}

/// All tiles of two pictures of one page that differ at all. Their sizes may differ by the pixel that one
/// renderer rounds up and the other down.
pub(crate) fn tiles(left: &Raster, right: &Raster) -> Vec<Tile> {
    let (width, height) = (left.width.min(right.width), left.height.min(right.height));
    let sums = summed(&blurred_difference(left, right, width, height), width, height);
    let at = |x: usize, y: usize| sums[y * (width + 1) + x];
    let mut tiles = Vec::new();
    for y_px in (0..height).step_by(STRIDE_PX) {
        let bottom = (y_px + TILE_PX).min(height);
        for x_px in (0..width).step_by(STRIDE_PX) {
            let right = (x_px + TILE_PX).min(width);
            let sum = at(right, bottom) - at(x_px, bottom) - at(right, y_px) + at(x_px, y_px);
            let percent = (sum / (TILE_PX * TILE_PX) as f64 / 255.0 * 100.0) as f32;
            if percent > 0.001 {
                tiles.push(Tile {
                    x_px,
                    y_px,
                    percent,
                });
            }
        }
    }
    tiles
}

/// The blur is linear: that of the difference is the difference of the blurred. Mean of the channels'
/// absolute values.
fn blurred_difference(left: &Raster, right: &Raster, width: usize, height: usize) -> Vec<f32> {
    let kernel = kernel();
    let mut total = vec![0.0_f32; width * height];
    let (mut rows, mut row) = (vec![0.0_f32; width * height], vec![0.0_f32; width + 2 * REACH_PX]);
    for channel in 0..3 {
        // A row in which nothing differs stays zero, and most do.
        let mut touched = vec![false; height];
        for y in 0..height {
            let (l, r) = (&left.rgb[y * left.width * 3..], &right.rgb[y * right.width * 3..]);
            let mut any = false;
            for x in 0..width {
                let difference = i16::from(l[x * 3 + channel]) - i16::from(r[x * 3 + channel]);
                any |= difference != 0;
                row[x + REACH_PX] = f32::from(difference);
            }
            touched[y] = any;
            let line = &mut rows[y * width..(y + 1) * width];
            if any {
                for (x, value) in line.iter_mut().enumerate() {
                    let window = &row[x..=x + 2 * REACH_PX];
                    *value = window.iter().zip(&kernel).map(|(a, k)| a * k).sum();
                }
            } else {
                line.fill(0.0);
            }
        }
        let mut sum = vec![0.0_f32; width];
        for y in 0..height {
            let (from, to) = (y.saturating_sub(REACH_PX), (y + REACH_PX + 1).min(height));
            if !touched[from..to].iter().any(|t| *t) {
                continue;
            }
            sum.fill(0.0);
            for other in (from..to).filter(|other| touched[*other]) {
                let weight = kernel[other + REACH_PX - y];
                let line = &rows[other * width..(other + 1) * width];
                for (s, value) in sum.iter_mut().zip(line) {
                    *s += weight * value;
                }
            }
            for (t, s) in total[y * width..].iter_mut().zip(&sum) {
                *t += s.abs() / 3.0;
            }
        }
    }
    total
}

fn kernel() -> [f32; 2 * REACH_PX + 1] {
    let mut kernel = [0.0; 2 * REACH_PX + 1];
    for (at, weight) in kernel.iter_mut().enumerate() {
        let distance = at as f32 - REACH_PX as f32;
        *weight = (-distance * distance / (2.0 * SIGMA_PX * SIGMA_PX)).exp();
    }
    let sum: f32 = kernel.iter().sum();
    kernel.map(|weight| weight / sum)
}

/// Sums over all that is above and left, one row and column wider: any rectangle's sum is four of them.
fn summed(values: &[f32], width: usize, height: usize) -> Vec<f64> {
    let mut sums = vec![0.0; (width + 1) * (height + 1)];
    for y in 0..height {
        let mut row = 0.0;
        for x in 0..width {
            row += f64::from(values[y * width + x]);
            sums[(y + 1) * (width + 1) + x + 1] = sums[y * (width + 1) + x + 1] + row;
        }
    }
    sums
}
