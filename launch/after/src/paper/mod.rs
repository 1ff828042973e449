//! The page "by hand": what is printed where, and what somebody marked on it. Pure.
//!
//! One table says where everything is: the template draws from it, the detector looks there. A scan that is
//! turned, tilted or scaled is brought back by the four marks in its corners. What cannot be told is
//! [`TickState::Unclear`], and a page without its marks is an error: nothing is guessed.

mod find;
mod layout;
mod pixels;
mod read;

use image::{GrayImage, ImageReader, Limits};
use serde::{Deserialize, Serialize};

pub use layout::{CheckBox, Layout, LayoutError, Mark, Zone};

use crate::triggers::{EDITED_BY_HAND, Event, OPERATION_DONE};

/// The Typst function `by-hand(boxes, code, behind:, about:, link:)`; `boxes` is [`Layout::table`], `code` the path of an
/// image, content or `none`, the others content or `none`.
pub const TEMPLATE: &str = include_str!("../../template/by-hand.typ");

/// A scan has at most this many pixels: A4 at 300 dpi has 8.7 million.
pub const PIXELS_MAX: u64 = 40_000_000;
/// A scan's file has at most this many bytes.
pub const FILE_BYTES_MAX: usize = 32 << 20;

/// What a box says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TickState {
    Ticked,
    Empty,
    /// For a person to decide: faint, half erased, blackened, or a box that is not whole.
    Unclear,
}

/// One box of a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    pub zone: String,
    pub state: TickState,
    /// The share of the box's inside that is as dark as its rim, 0..1.
    pub fill: f32,
}

/// A page cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetectError {
    #[error("the page is {width} x {height} pixels; scan the whole A4 page at 100 to 300 dpi")]
    Size { width: u32, height: u32 },
    #[error("{found} of the four corner marks were found; scan the whole page, flat, tilted by 2° at most")]
    Marks { found: usize },
    #[error("the corner marks do not say which way up the page is; scan it again")]
    Orientation,
}

/// A file is no scan that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    #[error("the file has {bytes} bytes, more than {FILE_BYTES_MAX}; scan in grey at 300 dpi at most")]
    Bytes { bytes: usize },
    #[error(
        "the image has {width} x {height} pixels, more than {PIXELS_MAX}; scan in grey at 300 dpi at most"
    )]
    Pixels { width: u32, height: u32 },
    #[error("neither PNG nor JPEG, or damaged: {why}")]
    Form { why: String },
}

/// A PNG or JPEG file as grey pixels. The size is checked before anything is unpacked.
///
/// # Errors
/// Too large, another format, damaged.
pub fn read_scan(bytes: &[u8]) -> Result<GrayImage, ScanError> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(ScanError::Bytes { bytes: bytes.len() });
    }
    let form = |error: String| ScanError::Form { why: error };
    let reader = || {
        let mut reader = ImageReader::new(std::io::Cursor::new(bytes))
            .with_guessed_format()
            .ok()?;
        let mut limits = Limits::default();
        // Sixteen bits in four channels, once more while converting.
        limits.max_alloc = Some(PIXELS_MAX * 16);
        reader.limits(limits);
        Some(reader)
    };
    let unknown = || form("unknown format".to_owned());
    let (width, height) = reader()
        .ok_or_else(unknown)?
        .into_dimensions()
        .map_err(|error| form(error.to_string()))?;
    if u64::from(width) * u64::from(height) > PIXELS_MAX {
        return Err(ScanError::Pixels { width, height });
    }
    let decoded = reader()
        .ok_or_else(unknown)?
        .decode()
        .map_err(|error| form(error.to_string()))?;
    Ok(decoded.into_luma8())
}

/// What the boxes of a scanned page say, in the layout's order.
///
/// # Errors
/// A page of another size, or one whose marks are not all found.
pub fn detect(image: &GrayImage, layout: &Layout) -> Result<Vec<Tick>, DetectError> {
    let (page, to_image) = find::page(image, layout)?;
    Ok(layout
        .boxes()
        .iter()
        .map(|place| read::tick(&page, &to_image, place))
        .collect())
}

/// What a page tells the triggers, and which boxes a person has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageEvents {
    pub events: Vec<Event>,
    pub unclear: Vec<String>,
}

/// What a page is about: its ticks do not say it. The same page scanned twice must be about the same times, or what it
/// says counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About<'a> {
    pub launch: &'a str,
    /// Of `edited-by-hand`.
    pub version: &'a str,
    pub edited_at_ms: u64,
    /// The ops package of `operation-done`, named as in [`Event::Downloaded`].
    pub ops_package: &'a str,
    pub done_at_ms: u64,
}

/// What the ticks of a page say.
pub fn events(ticks: &[Tick], about: &About<'_>) -> PageEvents {
    let mut page = PageEvents::default();
    let launch = || about.launch.to_owned();
    for tick in ticks {
        match (tick.state, tick.zone.as_str()) {
            (TickState::Empty, _) => {}
            (TickState::Unclear, zone) => page.unclear.push(zone.to_owned()),
            (TickState::Ticked, EDITED_BY_HAND) => page.events.push(Event::EditedByHand {
                launch: launch(),
                version: about.version.to_owned(),
                at_ms: about.edited_at_ms,
            }),
            (TickState::Ticked, OPERATION_DONE) => page.events.push(Event::OperationDone {
                launch: launch(),
                file: about.ops_package.to_owned(),
                at_ms: about.done_at_ms,
            }),
            (TickState::Ticked, zone) => page.events.push(Event::Ticked {
                launch: launch(),
                zone: zone.to_owned(),
            }),
        }
    }
    page
}
