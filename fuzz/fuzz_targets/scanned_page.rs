//! A scan that claims to be a page of a checklist: any file, and pages with any dark spots. Neither may panic, and what is
//! found is one answer for each box.

#![no_main]

use image::{GrayImage, Luma};
use libfuzzer_sys::fuzz_target;
use tminus_after::paper::{Layout, detect, read_scan};

/// A4 at 100 dots per inch.
const PAGE: (u32, u32) = (827, 1169);

fuzz_target!(|bytes: &[u8]| {
    let layout = Layout::of_a_checklist();
    let image = match bytes.split_first() {
        // Anything that begins with this byte draws; no image file does.
        Some((b'd', spots)) => drawn(&layout, spots),
        _ => match read_scan(bytes) {
            Ok(image) => image,
            Err(_) => return,
        },
    };
    if let Ok(ticks) = detect(&image, &layout) {
        assert_eq!(ticks.len(), layout.boxes().len());
        for tick in ticks {
            assert!((0.0..=1.0).contains(&tick.fill), "{tick:?}");
        }
    }
});

/// The four corner marks, unless the first byte leaves one out, and a spot for each six bytes.
fn drawn(layout: &Layout, bytes: &[u8]) -> GrayImage {
    let mut image = GrayImage::from_pixel(PAGE.0, PAGE.1, Luma([255]));
    let pixels = |mm: f64| (mm / 25.4 * 100.0) as u32;
    let (left_out, spots) = bytes.split_first().unwrap_or((&0, &[]));
    for (number, mark) in layout.marks().into_iter().enumerate() {
        if left_out & (1 << number) == 0 {
            let half = 3.0;
            let (x, y) = (pixels(mark.x_mm - half), pixels(mark.y_mm - half));
            spot(&mut image, x, y, pixels(2.0 * half), pixels(2.0 * half), 0);
            if mark.hole {
                spot(&mut image, pixels(mark.x_mm - 1.3), pixels(mark.y_mm - 1.3), pixels(2.6), pixels(2.6), 255);
            }
        }
    }
    for each in spots.as_chunks::<6>().0.iter().take(64) {
        let [x, y, fine, width, height, grey] = each.map(u32::from);
        let (x, y) = (x * 4 + fine % 4, y * 5 + fine / 16 % 5);
        spot(&mut image, x, y, width + 1, height + 1, grey as u8);
    }
    image
}

fn spot(image: &mut GrayImage, x: u32, y: u32, width: u32, height: u32, grey: u8) {
    for y in y..(y + height).min(PAGE.1) {
        for x in x..(x + width).min(PAGE.0) {
            image.put_pixel(x, y, Luma([grey]));
        }
    }
}
