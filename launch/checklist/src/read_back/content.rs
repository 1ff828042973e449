//! What the pages of a PDF say and where, by its content streams: text, and the boxes that marks are
//! drawn in. Shares no code with the typesetter.

use std::collections::BTreeMap;

use lopdf::content::{Content, Operation};
use lopdf::{Dictionary, Document, Encoding, Object, ObjectId};

use super::matrix::{IDENTITY, Matrix};

/// Far more than a page of text takes.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Forms within forms; a checklist has none.
const MAX_FORM_DEPTH: u32 = 8;
/// Saved graphics states and marked content within each other.
const MAX_NESTING: usize = 512;
/// Operators of one page, with those of its forms as often as they are drawn.
const MAX_OPERATIONS: usize = 1_000_000;
/// The side of a mark, in points: from those in tables to that of the cover.
const MARK_PT: std::ops::RangeInclusive<f64> = 5.0..=60.0;

/// One page, in the order in which it is drawn.
#[derive(Debug)]
pub(crate) struct Page {
    pub width_pt: f64,
    pub height_pt: f64,
    pub pieces: Vec<Piece>,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Text(Run),
    MarkBox(MarkBox),
}

/// What one operator shows.
#[derive(Debug)]
pub(crate) struct Run {
    pub text: String,
    /// From the page's lower left corner.
    pub x_pt: f64,
    pub y_pt: f64,
    /// Headers, footers, water mark: what belongs to the page and not to the text.
    pub artifact: bool,
    /// Its line runs at an angle.
    pub slanted: bool,
    /// A code of it is the glyph that stands for none.
    pub missing_glyph: bool,
}

/// A square with round corners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MarkBox {
    /// Of its lower left corner, from that of the page.
    pub x_pt: f64,
    pub y_pt: f64,
    pub side_pt: f64,
}

/// The pages of a PDF whose bytes may be anybody's.
pub(crate) fn pages(pdf: &[u8], max_pages: usize) -> Result<Vec<Page>, String> {
    tminus_seal::guarded(|| read(pdf, max_pages))
}

fn read(pdf: &[u8], max_pages: usize) -> Result<Vec<Page>, String> {
    let document = crate::extract::load(pdf)?;
    let mut fonts = BTreeMap::new();
    let mut pages = Vec::new();
    for id in document.page_iter() {
        if pages.len() >= max_pages {
            return Err(format!("it has more than {max_pages} pages"));
        }
        let said = |e: String| format!("page {}: {e}", pages.len() + 1);
        pages.push(page(&document, id, &mut fonts).map_err(said)?);
    }
    Ok(pages)
}

fn page<'a>(document: &'a Document, id: ObjectId, fonts: &mut Fonts<'a>) -> Result<Page, String> {
    let dictionary = document.get_dictionary(id).map_err(|e| e.to_string())?;
    let [left, bottom, right, top] = media_box(document, dictionary).ok_or("it has no size")?;
    let bytes = document
        .get_page_content_with_limit(id, MAX_PAGE_BYTES)
        .map_err(|e| e.to_string())?;
    let mut walk = Walk {
        document,
        fonts,
        pieces: Vec::new(),
        content: Vec::new(),
        operations: 0,
    };
    let resources = inherited(document, dictionary, b"Resources").and_then(|o| o.as_dict().ok());
    let start = State {
        ctm: [1.0, 0.0, 0.0, 1.0, -left, -bottom],
        ..State::default()
    };
    walk.stream(&bytes, resources, start, 0)?;
    Ok(Page {
        width_pt: right - left,
        height_pt: top - bottom,
        pieces: walk.pieces,
    })
}

fn inherited<'a>(document: &'a Document, page: &'a Dictionary, key: &[u8]) -> Option<&'a Object> {
    let mut node = page;
    for _ in 0..32 {
        if let Ok(found) = node.get_deref(key, document) {
            return Some(found);
        }
        node = node
            .get_deref(b"Parent", document)
            .and_then(Object::as_dict)
            .ok()?;
    }
    None
}

fn media_box(document: &Document, page: &Dictionary) -> Option<[f64; 4]> {
    numbers(inherited(document, page, b"MediaBox")?.as_array().ok()?)
}

fn numbers<const N: usize>(operands: &[Object]) -> Option<[f64; N]> {
    let mut found = [0.0; N];
    if operands.len() < N {
        return None;
    }
    for (slot, operand) in found.iter_mut().zip(operands) {
        *slot = f64::from(operand.as_float().ok()?);
    }
    found.iter().all(|n| n.is_finite()).then_some(found)
}

/// By the address of their dictionaries: pages share them.
type Fonts<'a> = BTreeMap<usize, Encoding<'a>>;

#[derive(Debug, Clone)]
struct State {
    ctm: Matrix,
    /// Address of the font's dictionary.
    font: Option<usize>,
    leading: f64,
    /// A Type 0 font's codes have two bytes.
    wide: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            ctm: IDENTITY,
            font: None,
            leading: 0.0,
            wide: false,
        }
    }
}

/// One marked part of the content.
#[derive(Debug)]
struct Marked {
    artifact: bool,
    /// What its glyphs stand for; taken by the first of them.
    actual: Option<Option<String>>,
}

struct Walk<'a, 'f> {
    document: &'a Document,
    fonts: &'f mut Fonts<'a>,
    pieces: Vec<Piece>,
    content: Vec<Marked>,
    operations: usize,
}

impl<'a> Walk<'a, '_> {
    fn stream(
        &mut self,
        bytes: &[u8],
        resources: Option<&'a Dictionary>,
        mut state: State,
        depth: u32,
    ) -> Result<(), String> {
        let content = Content::decode(bytes).map_err(|e| format!("its content cannot be read: {e}"))?;
        let mut saved = Vec::new();
        let (mut line, mut text) = (IDENTITY, IDENTITY);
        let mut path = Path::default();
        for Operation { operator, operands } in &content.operations {
            self.operations += 1;
            let nesting = saved.len().max(self.content.len());
            if self.operations > MAX_OPERATIONS || nesting > MAX_NESTING {
                return Err("it holds more than a page of a checklist may".to_owned());
            }
            match operator.as_str() {
                "q" => saved.push(state.clone()),
                "Q" => state = saved.pop().unwrap_or(state),
                "cm" => {
                    if let Some(by) = numbers(operands) {
                        state.ctm = super::matrix::times(by, state.ctm);
                    }
                }
                "BT" => (line, text) = (IDENTITY, IDENTITY),
                "Tf" => self.set_font(operands, resources, &mut state),
                "TL" => state.leading = numbers::<1>(operands).map_or(0.0, |[l]| l),
                "Tm" => {
                    if let Some(matrix) = numbers(operands) {
                        (line, text) = (matrix, matrix);
                    }
                }
                "Td" | "TD" => {
                    if let Some([x, y]) = numbers(operands) {
                        if operator == "TD" {
                            state.leading = -y;
                        }
                        line = super::matrix::times([1.0, 0.0, 0.0, 1.0, x, y], line);
                        text = line;
                    }
                }
                "T*" | "'" | "\"" => {
                    line = super::matrix::times([1.0, 0.0, 0.0, 1.0, 0.0, -state.leading], line);
                    text = line;
                    if operator != "T*" {
                        self.show(operands.last(), text, &state);
                    }
                }
                "Tj" | "TJ" => self.show(operands.first(), text, &state),
                "BMC" | "BDC" => {
                    let marked = self.marked(operands, resources);
                    self.content.push(marked);
                }
                "EMC" => {
                    self.content.pop();
                }
                "Do" => self.form(operands, resources, &state, depth)?,
                _ => {
                    if let Some(found) = path.take(operator, operands, state.ctm) {
                        self.pieces.push(Piece::MarkBox(found));
                    }
                }
            }
        }
        Ok(())
    }

    fn set_font(&mut self, operands: &[Object], resources: Option<&'a Dictionary>, state: &mut State) {
        let font = || -> Option<&'a Dictionary> {
            let name = operands.first()?.as_name().ok()?;
            let fonts = resources?
                .get_deref(b"Font", self.document)
                .and_then(Object::as_dict)
                .ok()?;
            fonts
                .get_deref(name, self.document)
                .and_then(Object::as_dict)
                .ok()
        };
        state.font = None;
        let Some(font) = font() else { return };
        let address = std::ptr::from_ref(font) as usize;
        if !self.fonts.contains_key(&address) {
            let Ok(encoding) = font.get_font_encoding_with_limit(self.document, MAX_PAGE_BYTES) else {
                return;
            };
            self.fonts.insert(address, encoding);
        }
        state.font = Some(address);
        state.wide = font
            .get(b"Subtype")
            .and_then(Object::as_name)
            .is_ok_and(|kind| kind == b"Type0");
    }

    fn show(&mut self, shown: Option<&Object>, matrix: Matrix, state: &State) {
        let strings: Vec<&[u8]> = match shown {
            Some(Object::String(bytes, _)) => vec![bytes],
            Some(Object::Array(parts)) => parts.iter().filter_map(|p| p.as_str().ok()).collect(),
            _ => return,
        };
        let (mut text, mut missing_glyph) = (String::new(), false);
        let encoding = state.font.and_then(|font| self.fonts.get(&font));
        for bytes in strings {
            match encoding {
                Some(encoding) if encoding.write_to_string(bytes, &mut text).is_ok() => {}
                _ => text.extend(bytes.iter().map(|_| char::REPLACEMENT_CHARACTER)),
            }
            missing_glyph |= state.wide && bytes.as_chunks::<2>().0.contains(&[0, 0]);
        }
        let actual = self.content.iter_mut().find_map(|m| m.actual.as_mut());
        if let Some(actual) = actual {
            text = actual.take().unwrap_or_default();
        }
        let [a, b, c, d, x_pt, y_pt] = super::matrix::times(matrix, state.ctm);
        self.pieces.push(Piece::Text(Run {
            text,
            x_pt,
            y_pt,
            artifact: self.content.iter().any(|m| m.artifact),
            slanted: b.abs() + c.abs() > 0.01 * (a.abs() + d.abs()),
            missing_glyph,
        }));
    }

    fn marked(&self, operands: &[Object], resources: Option<&'a Dictionary>) -> Marked {
        let artifact = operands
            .first()
            .and_then(|o| o.as_name().ok())
            .is_some_and(|name| name == b"Artifact");
        let properties = match operands.get(1) {
            Some(Object::Dictionary(properties)) => Some(properties),
            Some(Object::Name(name)) => resources
                .and_then(|r| r.get_deref(b"Properties", self.document).ok())
                .and_then(|p| p.as_dict().ok())
                .and_then(|p| p.get_deref(name, self.document).ok())
                .and_then(|p| p.as_dict().ok()),
            _ => None,
        };
        let actual = properties
            .and_then(|p| p.get_deref(b"ActualText", self.document).ok())
            .and_then(|text| lopdf::decode_text_string(text).ok());
        Marked {
            artifact,
            actual: actual.map(Some),
        }
    }

    fn form(
        &mut self,
        operands: &[Object],
        resources: Option<&'a Dictionary>,
        state: &State,
        depth: u32,
    ) -> Result<(), String> {
        if depth >= MAX_FORM_DEPTH {
            return Err("forms are nested too deep".to_owned());
        }
        let form = || {
            let name = operands.first()?.as_name().ok()?;
            let objects = resources?
                .get_deref(b"XObject", self.document)
                .and_then(Object::as_dict)
                .ok()?;
            let form = objects
                .get_deref(name, self.document)
                .and_then(Object::as_stream)
                .ok()?;
            let kind = form.dict.get(b"Subtype").and_then(Object::as_name).ok()?;
            (kind == b"Form").then_some(form)
        };
        let Some(form) = form() else { return Ok(()) };
        let bytes = form
            .get_plain_content_with_limit(MAX_PAGE_BYTES)
            .map_err(|e| e.to_string())?;
        let mut inside = state.clone();
        if let Some(by) = form
            .dict
            .get_deref(b"Matrix", self.document)
            .and_then(Object::as_array)
            .ok()
            .and_then(|m| numbers(m))
        {
            inside.ctm = super::matrix::times(by, inside.ctm);
        }
        let own = form.dict.get_deref(b"Resources", self.document);
        let own = own.and_then(Object::as_dict).ok().or(resources);
        self.stream(&bytes, own, inside, depth + 1)
    }
}

/// The path that is being built: whether it is the box of a mark.
#[derive(Debug, Default)]
struct Path {
    /// Left, bottom, right, top.
    bounds: Option<[f64; 4]>,
    starts: u32,
    lines: u32,
    curves: u32,
}

impl Path {
    /// Takes one operator; a mark's box once one is stroked.
    fn take(&mut self, operator: &str, operands: &[Object], ctm: Matrix) -> Option<MarkBox> {
        match operator {
            "m" => {
                self.starts += 1;
                self.reach(numbers(operands)?, ctm);
            }
            "l" => {
                self.lines += 1;
                self.reach(numbers(operands)?, ctm);
            }
            "c" | "v" | "y" => {
                self.curves += 1;
                let end = operands.len().checked_sub(2)?;
                self.reach(numbers(operands.get(end..)?)?, ctm);
            }
            "S" | "s" | "B" | "b" | "B*" | "b*" => {
                let found = self.mark_box();
                *self = Self::default();
                return found;
            }
            "f" | "F" | "f*" | "n" => *self = Self::default(),
            _ => {}
        }
        None
    }

    fn reach(&mut self, [x, y]: [f64; 2], ctm: Matrix) {
        let [x, y] = super::matrix::point(ctm, [x, y]);
        let [l, b, r, t] = self.bounds.unwrap_or([x, y, x, y]);
        self.bounds = Some([l.min(x), b.min(y), r.max(x), t.max(y)]);
    }

    fn mark_box(&self) -> Option<MarkBox> {
        let [left, bottom, right, top] = self.bounds?;
        let (width, height) = (right - left, top - bottom);
        let square = (width - height).abs() <= 0.03 * width && MARK_PT.contains(&width);
        (square && self.starts == 1 && self.curves >= 4 && self.lines >= 3).then_some(MarkBox {
            x_pt: left,
            y_pt: bottom,
            side_pt: width,
        })
    }
}
