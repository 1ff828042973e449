use fastrand::Rng;
use image::{GrayImage, Luma};
use tminus_after::paper::{
    About, DetectError, Layout, LayoutError, ScanError, Tick, TickState, Zone, detect, events, read_scan,
};
use tminus_after::triggers::Event;

use crate::page::{Pen, Scanner, draw, erase, layout, mark, printed, scan, stray};

fn pen(random: &mut Rng) -> Pen {
    Pen {
        width_mm: 0.45 + random.f64() * 0.6,
        grey: random.f64() * 90.0,
    }
}

/// Pages with any boxes ticked, any scanner: each box must be read as it was meant.
fn pages_are_read_right(dpi: u32, seeds: std::ops::Range<u64>) {
    let layout = layout();
    let clean = printed(dpi);
    let mut wrong = Vec::new();
    for seed in seeds {
        let mut random = Rng::with_seed(seed);
        let mut page = clean.clone();
        let meant: Vec<TickState> = layout
            .boxes()
            .iter()
            .map(|place| {
                let pen = pen(&mut random);
                if random.u8(0..5) == 0 {
                    draw(&mut page, pen, &stray(&mut random, place));
                }
                if random.bool() {
                    return TickState::Empty;
                }
                for line in mark(&mut random, place) {
                    draw(&mut page, pen, &line);
                }
                TickState::Ticked
            })
            .collect();
        let scanner = Scanner::any(&mut random);
        match detect(&scan(&page, scanner, &mut random), &layout) {
            Ok(read) => {
                for (tick, meant) in read.iter().zip(&meant) {
                    if tick.state != *meant {
                        wrong.push(format!("seed {seed}: {meant:?} read as {tick:?}, {scanner:?}"));
                    }
                }
            }
            Err(error) => wrong.push(format!("seed {seed}: {error}, {scanner:?}")),
        }
    }
    assert!(
        wrong.is_empty(),
        "{} at {dpi} dpi:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn pages_at_100_dpi_are_read_right() {
    pages_are_read_right(100, 0..250);
}

#[test]
fn pages_at_150_dpi_are_read_right() {
    pages_are_read_right(150, 1_000..1_100);
}

#[test]
fn pages_at_200_dpi_are_read_right() {
    pages_are_read_right(200, 2_000..2_040);
}

#[test]
fn pages_at_300_dpi_are_read_right() {
    pages_are_read_right(300, 3_000..3_015);
}

#[test]
fn a_page_that_the_printer_shrank_or_stretched_is_read_right() {
    let layout = layout();
    for (seed, scale) in [(1, 0.94), (2, 0.97), (3, 1.03)] {
        let mut random = Rng::with_seed(seed);
        let mut page = printed(150);
        for place in &layout.boxes()[..3] {
            for line in mark(&mut random, place) {
                draw(
                    &mut page,
                    Pen {
                        width_mm: 0.6,
                        grey: 40.0,
                    },
                    &line,
                );
            }
        }
        let scanner = Scanner {
            scale,
            tilt_degrees: 1.5,
            quarter_turns: 1,
            noise: 6.0,
            ..Scanner::plain()
        };
        let read = states(&scan(&page, scanner, &mut random));
        assert_eq!(read[..3], [TickState::Ticked; 3], "{scale}");
        assert_eq!(read[3..], [TickState::Empty; 3], "{scale}");
    }
}

fn states(image: &GrayImage) -> Vec<TickState> {
    detect(image, &layout())
        .unwrap()
        .iter()
        .map(|tick| tick.state)
        .collect()
}

#[test]
fn what_was_half_erased_is_never_a_tick() {
    let layout = layout();
    for dpi in [100, 200] {
        let clean = printed(dpi);
        for seed in 0..30 {
            let mut random = Rng::with_seed(seed);
            let mut page = clean.clone();
            for (row, place) in layout.boxes().iter().enumerate() {
                let pen = pen(&mut random);
                for line in mark(&mut random, place) {
                    draw(&mut page, pen, &line);
                }
                let (x, y) = (place.x_mm, place.y_mm);
                // Wiped over inside the rim, or all but a stub gone.
                match row % 2 {
                    0 => erase(
                        &mut page,
                        (x - 2.6, y - 2.6),
                        (x + 2.6, y + 2.6),
                        0.08 + random.f64() * 0.25,
                    ),
                    _ => erase(&mut page, (x - 2.6, y - 2.6), (x + 2.6, y + 1.0), 0.0),
                }
            }
            let scanner = Scanner {
                tilt_degrees: random.f64() * 4.0 - 2.0,
                noise: 8.0,
                ..Scanner::plain()
            };
            let read = detect(&scan(&page, scanner, &mut random), &layout).unwrap();
            assert!(
                read.iter().all(|tick| tick.state != TickState::Ticked),
                "{dpi} dpi, seed {seed}: {read:?}"
            );
        }
    }
}

#[test]
fn marks_beside_a_box_never_tick_it() {
    let layout = layout();
    for dpi in [100, 200] {
        let clean = printed(dpi);
        for seed in 0..30 {
            let mut random = Rng::with_seed(seed);
            let mut page = clean.clone();
            for place in layout.boxes() {
                for _ in 0..3 {
                    let pen = pen(&mut random);
                    draw(&mut page, pen, &stray(&mut random, place));
                }
            }
            let scanner = Scanner {
                tilt_degrees: random.f64() * 4.0 - 2.0,
                noise: 8.0,
                ..Scanner::plain()
            };
            let read = detect(&scan(&page, scanner, &mut random), &layout).unwrap();
            assert!(
                read.iter().all(|tick| tick.state != TickState::Ticked),
                "{dpi} dpi, seed {seed}: {read:?}"
            );
        }
    }
}

#[test]
fn a_blackened_box_a_dot_and_a_missing_rim_are_unclear() {
    let layout = layout();
    let mut page = printed(150);
    let [a, b, c] = [0, 1, 2].map(|at| (layout.boxes()[at].x_mm, layout.boxes()[at].y_mm));
    let wide = Pen {
        width_mm: 5.0,
        grey: 20.0,
    };
    draw(&mut page, wide, &[(a.0 - 0.5, a.1), (a.0 + 0.5, a.1)]);
    draw(
        &mut page,
        Pen {
            width_mm: 1.2,
            grey: 20.0,
        },
        &[b, (b.0 + 0.1, b.1)],
    );
    erase(&mut page, (c.0 - 5.0, c.1 - 5.0), (c.0 + 5.0, c.1), 0.0);
    let read = states(&page);
    assert_eq!(read[..3], [TickState::Unclear; 3]);
    assert_eq!(read[3..], [TickState::Empty; 3]);
}

#[test]
fn a_page_without_its_marks_is_an_error_and_no_answer() {
    let layout = layout();
    let clean = printed(100);
    let blank = GrayImage::from_pixel(clean.width(), clean.height(), Luma([255]));
    assert!(matches!(
        detect(&blank, &layout),
        Err(DetectError::Marks { found: 0 })
    ));
    let black = GrayImage::from_pixel(clean.width(), clean.height(), Luma([0]));
    assert!(detect(&black, &layout).is_err());
    for mark in layout.marks() {
        let mut torn = clean.clone();
        erase(
            &mut torn,
            (mark.x_mm - 6.0, mark.y_mm - 6.0),
            (mark.x_mm + 6.0, mark.y_mm + 6.0),
            0.0,
        );
        assert!(
            matches!(detect(&torn, &layout), Err(DetectError::Marks { found: 3 })),
            "{mark:?}"
        );
    }
    let mut filled = clean.clone();
    let first = layout.marks()[0];
    let pen = Pen {
        width_mm: 4.0,
        grey: 0.0,
    };
    draw(
        &mut filled,
        pen,
        &[(first.x_mm, first.y_mm), (first.x_mm + 0.1, first.y_mm)],
    );
    assert_eq!(detect(&filled, &layout), Err(DetectError::Orientation));
    let mirrored = image::imageops::flip_horizontal(&clean);
    assert!(detect(&mirrored, &layout).is_err());
    let mut random = Rng::with_seed(1);
    let noise = GrayImage::from_fn(827, 1169, |_, _| Luma([random.u8(..)]));
    assert!(detect(&noise, &layout).is_err());
}

#[test]
fn a_page_that_is_tilted_too_far_or_cut_off_is_an_error() {
    let layout = layout();
    let clean = printed(100);
    let mut random = Rng::with_seed(1);
    let far = Scanner {
        tilt_degrees: 6.0,
        ..Scanner::plain()
    };
    assert!(detect(&scan(&clean, far, &mut random), &layout).is_err());
    for (width, height) in [(1, 1), (50, 70), (827, 827), (400, 565), (9_000, 12_000)] {
        let sized = GrayImage::from_pixel(width, height, Luma([255]));
        let refused = detect(&sized, &layout);
        assert_eq!(refused, Err(DetectError::Size { width, height }));
    }
}

#[test]
fn a_file_is_looked_at_before_it_is_unpacked() {
    assert!(matches!(
        read_scan(&vec![0; (32 << 20) + 1]),
        Err(ScanError::Bytes { .. })
    ));
    assert!(matches!(read_scan(b"%PDF-1.7"), Err(ScanError::Form { .. })));
    let mut png = Vec::new();
    let page = GrayImage::from_pixel(40, 30, Luma([200]));
    page.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)
        .unwrap();
    assert_eq!(read_scan(&png).unwrap().dimensions(), (40, 30));
    assert!(matches!(
        read_scan(&png[..png.len() / 2]),
        Err(ScanError::Form { .. })
    ));
    // The header says 60,000 x 60,000; the checksum is made to fit.
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let sum = crc32(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(
        read_scan(&huge),
        Err(ScanError::Pixels {
            width: 60_000,
            height: 60_000
        })
    );
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0xedb8_8320
            } else {
                sum >> 1
            };
        }
    }
    !sum
}

#[test]
fn a_read_page_becomes_events_and_questions() {
    let tick = |zone: &str, state| Tick {
        zone: zone.into(),
        state,
        fill: 0.0,
    };
    let read = [
        tick("emergency-rollback", TickState::Ticked),
        tick("edited-by-hand", TickState::Ticked),
        tick("operation-done", TickState::Ticked),
        tick("late", TickState::Unclear),
        tick("paged", TickState::Empty),
    ];
    let about = About {
        launch: "s7",
        version: "v2",
        edited_at_ms: 5,
        ops_package: "ops.zip",
        done_at_ms: 7,
    };
    let page = events(&read, &about);
    assert_eq!(page.unclear, ["late"]);
    let expected = [
        Event::Ticked {
            launch: "s7".into(),
            zone: "emergency-rollback".into(),
        },
        Event::EditedByHand {
            launch: "s7".into(),
            version: "v2".into(),
            at_ms: 5,
        },
        Event::OperationDone {
            launch: "s7".into(),
            file: "ops.zip".into(),
            at_ms: 7,
        },
    ];
    assert_eq!(page.events, expected);
}

#[test]
fn a_layout_takes_only_what_fits_the_page() {
    let zone = |name: &str, en: &str| Zone {
        name: name.into(),
        zh: "中".into(),
        en: en.into(),
    };
    let many: Vec<Zone> = (0..11).map(|at| zone(&format!("z{at}"), "x")).collect();
    assert_eq!(Layout::new(&many), Err(LayoutError::Count { count: 11 }));
    assert!(Layout::new(&many[..10]).is_ok());
    assert!(Layout::new(&[]).is_err());
    for bad in [
        zone("", "x"),
        zone("A b", "x"),
        zone("a", ""),
        zone("a", &"x".repeat(61)),
    ] {
        assert!(Layout::new(&[bad]).is_err());
    }
    assert!(Layout::new(&[zone("a", "x"), zone("a", "y")]).is_err());
    let shown = Layout::new(&[zone("a", "x\u{202e}y")]).unwrap();
    assert_eq!(shown.boxes()[0].en, "x‹U+202E›y");
}
