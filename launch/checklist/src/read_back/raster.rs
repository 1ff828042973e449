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
const SIGMA_PX: f32 = 0.7;
const REACH_PX: usize = 3;
/// Smaller than a digit: in larger ones the paper around it hides a change.
pub(crate) const TILE_PX: usize = 8;
/// Tiles overlap by half, so that a change on the border of two is whole in a third.
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
        let [r, g, b] = self
            .pixel(x as usize, y as usize)
            .unwrap_or([255; 3])
            .map(f64::from);
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
    let (columns, rows) = (width.div_ceil(STRIDE_PX), height.div_ceil(STRIDE_PX));
    let mut cells = vec![0.0_f32; columns * rows];
    for channel in 0..3 {
        let difference = Difference::of(left, right, width, height, channel);
        difference.blurred(|x, y, value| {
            cells[y / STRIDE_PX * columns + x / STRIDE_PX] += value.abs() / 3.0;
        });
    }
    let cell = |x: usize, y: usize| {
        let inside = x < columns && y < rows;
        if inside { cells[y * columns + x] } else { 0.0 }
    };
    let mut tiles = Vec::new();
    for y in 0..rows {
        for x in 0..columns {
            let sum = cell(x, y) + cell(x + 1, y) + cell(x, y + 1) + cell(x + 1, y + 1);
            let percent = sum / (TILE_PX * TILE_PX) as f32 / 255.0 * 100.0;
            if percent > 0.001 {
                tiles.push(Tile {
                    x_px: x * STRIDE_PX,
                    y_px: y * STRIDE_PX,
                    percent,
                });
            }
        }
    }
    tiles
}

/// Pixels that are looked at together: where nothing differs nothing is computed, and that is most of a page.
const CHUNK_PX: usize = 32;

/// One picture minus the other, of one channel. The blur is linear: that of the difference is the difference of
/// the blurred.
struct Difference {
    width: usize,
    height: usize,
    chunks: usize,
    values: Vec<f32>,
    /// Of each chunk of each row: whether a pixel of it differs.
    touched: Vec<bool>,
}

impl Difference {
    fn of(left: &Raster, right: &Raster, width: usize, height: usize, channel: usize) -> Self {
        let chunks = width.div_ceil(CHUNK_PX);
        let mut values = vec![0.0; width * height];
        let mut touched = vec![false; chunks * height];
        for y in 0..height {
            let l = &left.rgb[y * left.width * 3..][..width * 3];
            let r = &right.rgb[y * right.width * 3..][..width * 3];
            let pairs = l.chunks(CHUNK_PX * 3).zip(r.chunks(CHUNK_PX * 3));
            for (chunk, (l, r)) in pairs.enumerate() {
                if l == r {
                    continue;
                }
                touched[y * chunks + chunk] = true;
                let row = &mut values[y * width + chunk * CHUNK_PX..];
                for ((value, l), r) in row.iter_mut().zip(l.as_chunks::<3>().0).zip(r.as_chunks::<3>().0) {
                    *value = f32::from(l[channel]) - f32::from(r[channel]);
                }
            }
        }
        Self {
            width,
            height,
            chunks,
            values,
            touched,
        }
    }

    /// Hands out each pixel after the blur where it may not be zero.
    fn blurred(&self, mut each: impl FnMut(usize, usize, f32)) {
        let (kernel, width) = (kernel(), self.width);
        // Along the rows first: a chunk takes part when it or a neighbour differs.
        let mut along = vec![0.0_f32; self.values.len()];
        let mut part = vec![false; self.touched.len()];
        for y in 0..self.height {
            let flags = &self.touched[y * self.chunks..][..self.chunks];
            let row = &self.values[y * width..][..width];
            for chunk in 0..self.chunks {
                let near = chunk.saturating_sub(1)..(chunk + 2).min(self.chunks);
                if !flags[near].iter().any(|t| *t) {
                    continue;
                }
                part[y * self.chunks + chunk] = true;
                for x in chunk * CHUNK_PX..((chunk + 1) * CHUNK_PX).min(width) {
                    let (from, to) = (x.saturating_sub(REACH_PX), (x + REACH_PX + 1).min(width));
                    let weights = &kernel[from + REACH_PX - x..];
                    along[y * width + x] = row[from..to].iter().zip(weights).map(|(v, k)| v * k).sum();
                }
            }
        }
        for y in 0..self.height {
            let near = y.saturating_sub(REACH_PX)..(y + REACH_PX + 1).min(self.height);
            for chunk in 0..self.chunks {
                let mut sums = [0.0_f32; CHUNK_PX];
                let mut any = false;
                for other in near.clone().filter(|other| part[other * self.chunks + chunk]) {
                    any = true;
                    let weight = kernel[other + REACH_PX - y];
                    let row = &along[other * width..][..width];
                    for (sum, value) in sums.iter_mut().zip(&row[chunk * CHUNK_PX..]) {
                        *sum += weight * value;
                    }
                }
                let left = if any { width - chunk * CHUNK_PX } else { 0 };
                for (x, sum) in sums.into_iter().enumerate().take(left) {
                    each(chunk * CHUNK_PX + x, y, sum);
                }
            }
        }
    }
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
