//! The page, typeset; and what pens, erasers and scanners do to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use fastrand::Rng;
use image::GrayImage;
use tminus_after::paper::{CheckBox, Layout, TEMPLATE, Zone};
use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt as _, World};
use typst_kit::fonts::FontStore;
use typst_layout::PagedDocument;

/// As long as a real one.
pub const LINK: &str = "https://launch.example.org/feedback/f1.k1.eyJsIjoic2Vhc29uLTctMjAyNi0xMSIsInMiOlsi6aKE5ryUIiwi6YeR5Lid6ZuAIiwi5Zue5ruaIiwi5rKf6YCaIiwi5pW05L2TIl0sInQiOjE3OTUzNTYwMDAwMDB9.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

pub fn layout() -> Layout {
    let zone = |name: &str, zh: &str, en: &str| Zone {
        name: name.into(),
        zh: zh.into(),
        en: en.into(),
    };
    Layout::new(&[
        zone(
            "emergency-rollback",
            "使用了紧急回滚",
            "The emergency rollback was used",
        ),
        zone(
            "edited-by-hand",
            "手工修改了某个版本",
            "A version was edited by hand",
        ),
        zone("late", "开始得晚", "It began late"),
        zone("paged", "有人被呼叫", "Somebody was paged"),
        zone("players-noticed", "玩家注意到了", "Players noticed"),
        zone("again", "应当重新演练", "It should be rehearsed again"),
    ])
    .unwrap()
}

struct Paper {
    library: LazyHash<Library>,
    fonts: FontStore,
    main: Source,
    files: BTreeMap<String, Bytes>,
}

impl World for Paper {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        self.fonts.book()
    }

    fn main(&self) -> FileId {
        self.main.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.main.id() {
            return Ok(self.main.clone());
        }
        let bytes = self.file(id)?;
        Ok(Source::new(id, String::from_utf8(bytes.to_vec()).unwrap()))
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.files
            .get(id.vpath().get_without_slash())
            .cloned()
            .ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.font(index)
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}

/// The printed page at a resolution, drawn once.
pub fn printed(dpi: u32) -> GrayImage {
    static PAGES: Mutex<BTreeMap<u32, GrayImage>> = Mutex::new(BTreeMap::new());
    let mut pages = PAGES.lock().unwrap();
    pages
        .entry(dpi)
        .or_insert_with(|| typeset(&layout(), dpi))
        .clone()
}

fn typeset(layout: &Layout, dpi: u32) -> GrayImage {
    const CJK: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";
    assert!(Path::new(CJK).exists(), "no {CJK}: install fonts-noto-cjk");
    let mut fonts = FontStore::new();
    let font = Font::iter(Bytes::new(std::fs::read(CJK).unwrap()))
        .find(|font| font.info().family == "Noto Sans CJK SC")
        .unwrap();
    let info = font.info().clone();
    fonts.push((font, info));
    fonts.extend(typst_kit::fonts::embedded());
    let main = "#import \"by-hand.typ\": by-hand\n#by-hand(json(\"boxes.json\"), \"qr.svg\")";
    let code = tminus_after::feedback::qr_svg(LINK).unwrap();
    let files = [
        ("by-hand.typ", TEMPLATE.to_owned()),
        ("boxes.json", layout.table().to_string()),
        ("qr.svg", code),
    ];
    let id = |name: &str| {
        FileId::new(RootedPath::new(
            VirtualRoot::Project,
            VirtualPath::new(name).unwrap(),
        ))
    };
    let world = Paper {
        library: LazyHash::new(Library::default()),
        fonts,
        main: Source::new(id("main.typ"), main.to_owned()),
        files: files
            .into_iter()
            .map(|(name, text)| (name.to_owned(), Bytes::new(text.into_bytes())))
            .collect(),
    };
    let document = typst::compile::<PagedDocument>(&world).output.unwrap();
    assert_eq!(document.pages().len(), 1);
    let options = typst_render::RenderOptions {
        pixel_per_pt: (f64::from(dpi) / 72.0).into(),
        ..typst_render::RenderOptions::default()
    };
    let pixmap = typst_render::render(&document.pages()[0], &options);
    GrayImage::from_fn(pixmap.width(), pixmap.height(), |x, y| {
        let colour = pixmap.pixel(x, y).unwrap();
        let grey = 0.299 * f64::from(colour.red())
            + 0.587 * f64::from(colour.green())
            + 0.114 * f64::from(colour.blue());
        image::Luma([(grey + 0.5) as u8])
    })
}

/// A pen: width in millimetres, the grey of its ink.
#[derive(Debug, Clone, Copy)]
pub struct Pen {
    pub width_mm: f64,
    pub grey: f64,
}

pub type Points = Vec<(f64, f64)>;

/// Draws lines between points in page millimetres, darker only.
pub fn draw(image: &mut GrayImage, pen: Pen, points: &[(f64, f64)]) {
    let scale = f64::from(image.width()) / 210.0;
    let half = pen.width_mm / 2.0 * scale;
    for pair in points.windows(2) {
        let (a, b) = (
            (pair[0].0 * scale, pair[0].1 * scale),
            (pair[1].0 * scale, pair[1].1 * scale),
        );
        let margin = half + 2.0;
        let range = |low: f64, high: f64, most: u32| {
            (low - margin).max(0.0) as u32..((high + margin).max(0.0) as u32 + 1).min(most)
        };
        for y in range(a.1.min(b.1), a.1.max(b.1), image.height()) {
            for x in range(a.0.min(b.0), a.0.max(b.0), image.width()) {
                let (px, py) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                let (dx, dy) = (b.0 - a.0, b.1 - a.1);
                let length = (dx * dx + dy * dy).max(1e-9);
                let along = (((px - a.0) * dx + (py - a.1) * dy) / length).clamp(0.0, 1.0);
                let far = (px - a.0 - along * dx).hypot(py - a.1 - along * dy);
                let cover = (half + 0.5 - far).clamp(0.0, 1.0);
                let pixel = &mut image.get_pixel_mut(x, y).0[0];
                let old = f64::from(*pixel);
                *pixel = (old + (pen.grey.min(old) - old) * cover).round() as u8;
            }
        }
    }
}

/// Something that means "yes".
pub fn mark(random: &mut Rng, place: &CheckBox) -> Vec<Points> {
    let mut near = |x: f64, y: f64| {
        let off = 0.35;
        (
            place.x_mm + x + (random.f64() * 2.0 - 1.0) * off,
            place.y_mm + y + (random.f64() * 2.0 - 1.0) * off,
        )
    };
    match near(0.0, 0.0) {
        // The jitter chooses the form too.
        (x, _) if x < place.x_mm - 0.12 => vec![vec![near(-2.0, 0.0), near(-0.6, 1.7), near(2.6, -2.6)]],
        (x, _) if x < place.x_mm + 0.12 => {
            vec![
                vec![near(-2.0, -2.0), near(2.0, 2.0)],
                vec![near(2.0, -2.0), near(-2.0, 2.0)],
            ]
        }
        _ => vec![vec![near(-1.9, 1.7), near(0.1, 0.2), near(1.9, -1.9)]],
    }
}

/// Something that belongs to no box.
pub fn stray(random: &mut Rng, place: &CheckBox) -> Points {
    let far = 3.0 + 0.35 + 0.6 + random.f64() * 2.0;
    let slope = random.f64() * 2.0 - 1.0;
    let length = 1.0 + random.f64() * 3.0;
    let (x, y) = (place.x_mm, place.y_mm);
    match random.u8(0..4) {
        0 => vec![(x - far, y - length), (x - far - 1.0 - slope, y + length)],
        1 => vec![(x + far, y - length), (x + far + 1.0 + slope, y + length)],
        2 => vec![(x - length, y - far), (x + length, y - far - 1.0 + slope)],
        _ => vec![(x - length, y + far), (x + length, y + far + 1.0 - slope)],
    }
}

/// Lightens an area of the page towards white, as an eraser does.
pub fn erase(image: &mut GrayImage, from_mm: (f64, f64), to_mm: (f64, f64), left: f64) {
    let scale = f64::from(image.width()) / 210.0;
    for y in (from_mm.1 * scale) as u32..(to_mm.1 * scale) as u32 {
        for x in (from_mm.0 * scale) as u32..(to_mm.0 * scale) as u32 {
            let pixel = &mut image.get_pixel_mut(x, y).0[0];
            *pixel = (255.0 - (255.0 - f64::from(*pixel)) * left) as u8;
        }
    }
}

/// What a scanner adds.
#[derive(Debug, Clone, Copy)]
pub struct Scanner {
    pub tilt_degrees: f64,
    /// Printers shrink a page to fit.
    pub scale: f64,
    pub quarter_turns: u8,
    pub noise: f64,
    pub specks: f64,
    pub jpeg_quality: Option<u8>,
    /// Black and white are not 0 and 255.
    pub black: f64,
    pub white: f64,
    pub shift_px: (f64, f64),
}

impl Scanner {
    pub fn plain() -> Self {
        Self {
            tilt_degrees: 0.0,
            scale: 1.0,
            quarter_turns: 0,
            noise: 0.0,
            specks: 0.0,
            jpeg_quality: None,
            black: 0.0,
            white: 255.0,
            shift_px: (0.0, 0.0),
        }
    }

    pub fn any(random: &mut Rng) -> Self {
        let signed = |random: &mut Rng, most: f64| (random.f64() * 2.0 - 1.0) * most;
        Self {
            tilt_degrees: signed(random, 2.0),
            scale: 1.0,
            quarter_turns: random.u8(0..4),
            noise: random.f64() * 14.0,
            specks: if random.bool() { random.f64() * 0.02 } else { 0.0 },
            jpeg_quality: random.bool().then(|| random.u8(30..=70)),
            black: random.f64() * 60.0,
            white: 215.0 + random.f64() * 40.0,
            shift_px: (signed(random, 4.0), signed(random, 4.0)),
        }
    }
}

pub fn scan(page: &GrayImage, scanner: Scanner, random: &mut Rng) -> GrayImage {
    let mut image = tilted(page, scanner);
    for pixel in image.iter_mut() {
        let mut value = scanner.black + f64::from(*pixel) / 255.0 * (scanner.white - scanner.black);
        if scanner.noise > 0.0 {
            // The sum of four is near enough to a Gaussian one.
            let bits = random.u64(..);
            let four: f64 = (0..4)
                .map(|part| f64::from((bits >> (16 * part)) as u16) / 65_536.0 - 0.5)
                .sum();
            value += four * 1.73 * scanner.noise;
        }
        if scanner.specks > 0.0 && random.f64() < scanner.specks {
            value = if random.bool() { 0.0 } else { 255.0 };
        }
        *pixel = value.clamp(0.0, 255.0) as u8;
    }
    let image = match scanner.quarter_turns {
        1 => image::imageops::rotate90(&image),
        2 => image::imageops::rotate180(&image),
        3 => image::imageops::rotate270(&image),
        _ => image,
    };
    match scanner.jpeg_quality {
        None => image,
        Some(quality) => {
            let mut bytes = Vec::new();
            let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
            encoder.encode_image(&image).unwrap();
            tminus_after::paper::read_scan(&bytes).unwrap()
        }
    }
}

fn tilted(page: &GrayImage, scanner: Scanner) -> GrayImage {
    let (sine, cosine) = scanner.tilt_degrees.to_radians().sin_cos();
    let (sine, cosine) = (sine / scanner.scale, cosine / scanner.scale);
    let (width, height) = page.dimensions();
    let (middle_x, middle_y) = (f64::from(width) / 2.0, f64::from(height) / 2.0);
    let raw = page.as_raw();
    let value = |x: i64, y: i64| {
        let inside = x >= 0 && y >= 0 && x < i64::from(width) && y < i64::from(height);
        if inside {
            f64::from(raw[(y * i64::from(width) + x) as usize])
        } else {
            255.0
        }
    };
    GrayImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (
            f64::from(x) - middle_x - scanner.shift_px.0,
            f64::from(y) - middle_y - scanner.shift_px.1,
        );
        let (from_x, from_y) = (
            middle_x + dx * cosine + dy * sine,
            middle_y - dx * sine + dy * cosine,
        );
        let (left, top) = (from_x.floor(), from_y.floor());
        let (share_x, share_y) = (from_x - left, from_y - top);
        let (left, top) = (left as i64, top as i64);
        let above = value(left, top) * (1.0 - share_x) + value(left + 1, top) * share_x;
        let below = value(left, top + 1) * (1.0 - share_x) + value(left + 1, top + 1) * share_x;
        image::Luma([(above * (1.0 - share_y) + below * share_y + 0.5) as u8])
    })
}
