//! Where things are on the page. Millimetres from its top left corner.

use serde::Serialize;

use crate::triggers::{EDITED_BY_HAND, EMERGENCY_ROLLBACK, OPERATION_DONE};

pub(crate) const PAGE_MM: (f64, f64) = (210.0, 297.0);
/// The side of a corner mark.
pub(crate) const MARK_MM: f64 = 6.0;
/// The side of the white square in the first mark, which says which way up the page is.
pub(crate) const HOLE_MM: f64 = 2.6;
/// The side of a check box, from the middle of its rim to the middle.
pub(crate) const BOX_MM: f64 = 6.0;
pub(crate) const RIM_MM: f64 = 0.7;

const FIRST_ROW_MM: f64 = 62.0;
const ROW_MM: f64 = 15.0;
const COLUMN_MM: f64 = 27.4;
const BOXES_MAX: usize = 10;
const LABEL_CHARACTERS_MAX: usize = 60;

/// A check box to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// `emergency-rollback`
    pub name: String,
    pub zh: String,
    pub en: String,
}

/// A corner mark by its centre.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Mark {
    pub x_mm: f64,
    pub y_mm: f64,
    /// Only the first one has it.
    pub hole: bool,
}

/// A check box by its centre.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckBox {
    pub zone: String,
    pub zh: String,
    pub en: String,
    pub x_mm: f64,
    pub y_mm: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    #[error("a page has 1 to {BOXES_MAX} boxes, not {count}")]
    Count { count: usize },
    #[error(
        "zone {shown:?}: names are distinct, of a-z, 0-9 and -; labels have 1 to {LABEL_CHARACTERS_MAX} characters"
    )]
    Zone { shown: String },
}

/// The table that template and detector share.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    boxes: Vec<CheckBox>,
}

impl Layout {
    /// # Errors
    /// No box or too many, a name twice, a label that does not fit.
    pub fn new(zones: &[Zone]) -> Result<Self, LayoutError> {
        if zones.is_empty() || zones.len() > BOXES_MAX {
            return Err(LayoutError::Count { count: zones.len() });
        }
        let mut boxes: Vec<CheckBox> = Vec::new();
        for (row, zone) in zones.iter().enumerate() {
            let name = !zone.name.is_empty()
                && zone.name.len() <= 64
                && zone
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            let label = |text: &str| (1..=LABEL_CHARACTERS_MAX).contains(&text.chars().count());
            let again = boxes.iter().any(|known| known.zone == zone.name);
            if !name || !label(&zone.zh) || !label(&zone.en) || again {
                let shown = crate::text::one_line(&zone.name, 40);
                return Err(LayoutError::Zone { shown });
            }
            boxes.push(CheckBox {
                zone: zone.name.clone(),
                zh: crate::text::one_line(&zone.zh, LABEL_CHARACTERS_MAX),
                en: crate::text::one_line(&zone.en, LABEL_CHARACTERS_MAX),
                x_mm: COLUMN_MM,
                y_mm: FIRST_ROW_MM + ROW_MM * row as f64,
            });
        }
        Ok(Self { boxes })
    }

    /// The page of a checklist: what the triggers listen to.
    pub fn of_a_checklist() -> Self {
        let zones = [
            (
                OPERATION_DONE,
                "已按操作包执行",
                "The ops package was carried out",
            ),
            (
                EMERGENCY_ROLLBACK,
                "执行了紧急回滚",
                "The emergency rollback was carried out",
            ),
            (EDITED_BY_HAND, "手工改动过版本", "A version was edited by hand"),
        ];
        let mut boxes = Vec::new();
        for (row, (name, zh, en)) in zones.into_iter().enumerate() {
            boxes.push(CheckBox {
                zone: name.to_owned(),
                zh: zh.to_owned(),
                en: en.to_owned(),
                x_mm: COLUMN_MM,
                y_mm: FIRST_ROW_MM + ROW_MM * row as f64,
            });
        }
        Self { boxes }
    }

    pub fn boxes(&self) -> &[CheckBox] {
        &self.boxes
    }

    /// Top left, top right, bottom right, bottom left.
    pub fn marks(&self) -> [Mark; 4] {
        const IN_MM: f64 = 15.0;
        let (right_mm, bottom_mm) = (PAGE_MM.0 - IN_MM, PAGE_MM.1 - IN_MM);
        let mark = |x_mm, y_mm, hole| Mark { x_mm, y_mm, hole };
        [
            mark(IN_MM, IN_MM, true),
            mark(right_mm, IN_MM, false),
            mark(right_mm, bottom_mm, false),
            mark(IN_MM, bottom_mm, false),
        ]
    }

    /// What the template draws, as JSON.
    pub fn table(&self) -> serde_json::Value {
        serde_json::json!({
            "marks": self.marks(), "mark_mm": MARK_MM, "hole_mm": HOLE_MM,
            "boxes": self.boxes, "box_mm": BOX_MM, "rim_mm": RIM_MM,
            "qr": {"x_mm": 140.0, "y_mm": 228.0, "side_mm": 36.0},
        })
    }
}
