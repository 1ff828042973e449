//! The picture of a difference: both crops side by side, the tile framed.

use super::raster::{Raster, TILE_PX, Tile};

/// What is shown around the tile, on each side.
const AROUND_PX: usize = 72;
const GAP_PX: usize = 8;
const FRAME: [u8; 3] = [255, 0, 160];
const GAP: [u8; 3] = [90, 90, 90];
/// Each pixel of a crop is so many wide and high.
const ZOOM: usize = 2;

/// A PNG: left what the file shows, right what it should.
///
/// # Errors
/// What the encoder says.
pub(crate) fn png(read: &Raster, wanted: &Raster, tile: Tile) -> Result<Vec<u8>, String> {
    let side = TILE_PX + 2 * AROUND_PX;
    let width = 2 * side + GAP_PX;
    let mut rgb = Vec::with_capacity(width * side * 3 * ZOOM * ZOOM);
    let signed = |n: usize| n as isize;
    for y in 0..side {
        let mut line = Vec::with_capacity(width * 3 * ZOOM);
        for x in 0..width {
            let (from, x) = match x {
                x if x < side => (read, x),
                x if x < side + GAP_PX => {
                    line.extend(GAP.repeat(ZOOM));
                    continue;
                }
                x => (wanted, x - side - GAP_PX),
            };
            let edge = |at: usize| at == AROUND_PX - 1 || at == AROUND_PX + TILE_PX;
            let inside = |at: usize| (AROUND_PX - 1..=AROUND_PX + TILE_PX).contains(&at);
            let framed = (edge(x) && inside(y)) || (edge(y) && inside(x));
            let page_x = signed(tile.x_px) + signed(x) - signed(AROUND_PX);
            let page_y = signed(tile.y_px) + signed(y) - signed(AROUND_PX);
            let on_page = usize::try_from(page_x).ok().zip(usize::try_from(page_y).ok());
            let pixel = on_page.and_then(|(x, y)| from.pixel(x, y)).unwrap_or(GAP);
            line.extend((if framed { FRAME } else { pixel }).repeat(ZOOM));
        }
        rgb.extend(line.repeat(ZOOM));
    }
    let mut bytes = Vec::new();
    let said = |e: png::EncodingError| e.to_string();
    let mut encoder = png::Encoder::new(&mut bytes, (width * ZOOM) as u32, (side * ZOOM) as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(said)?;
    writer.write_image_data(&rgb).map_err(said)?;
    writer.finish().map_err(said)?;
    Ok(bytes)
}
