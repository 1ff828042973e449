//! The document read back before it leaves: what its bytes say, show and carry, by readers that share
//! nothing with the typesetter, against the data it was made from.

mod content;
mod fields;
mod html;
mod marks;
mod matrix;
mod picture;
mod raster;
mod text;

use std::path::{Path, PathBuf};

use tminus_plan::Language;

use crate::view::ChecklistData;
use crate::{ChecklistError, DocumentModel, FontSource, words};

use content::{Page, Piece};
use fields::Required;
use raster::{Raster, TILE_PX, Tile};
use text::{Body, squeeze};

pub use html::{compare_html, compare_html_marks};

/// What is let through, and how much is done at most.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Of a tile of 8 by 8 pixels at 150 dots per inch: the mean absolute difference between the two
    /// renderers, after a blur of 0.7 pixels, in percent of black against white.
    pub tile_percent: f32,
    /// Pages that are read.
    pub pages: usize,
    /// Pictures of differences that are made.
    pub pictures: usize,
    /// Findings that are kept; the number of all is kept too.
    pub findings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tile_percent: 7.0,
            pages: 5_000,
            pictures: 12,
            findings: 200,
        }
    }
}

/// Which of the independent paths found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The file is no PDF that can be read or drawn.
    File,
    /// A required text.
    Text,
    /// The water mark of a page.
    WaterMark,
    /// A tick, cross or bar.
    Mark,
    /// A character without a glyph, or text beside the page.
    Glyph,
    /// An attached file.
    Attachment,
    /// The look of a page.
    Raster,
}

/// One reason not to deliver the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub check: Check,
    /// From 1; none when it is of no page.
    pub page: Option<u32>,
    /// Field, mark, tile or attachment.
    pub place: String,
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(page) = self.page {
            write!(f, "page {page}, ")?;
        }
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// How far the two pictures of a page are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PageRead {
    pub page: u32,
    /// Of the worst tile, as in [`Limits::tile_percent`].
    pub worst_tile_percent: f32,
}

/// A difference to look at: left what the file shows, right what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// `page-3-tile-12-40.png`
    pub file_name: String,
    pub png: Vec<u8>,
}

/// What reading back found.
#[derive(Debug, Default)]
pub struct ReadBack {
    pub pages: Vec<PageRead>,
    /// At most [`Limits::findings`].
    pub findings: Vec<Finding>,
    /// Of all, also those that were not kept.
    pub findings_total: usize,
    pub pictures: Vec<Picture>,
}

impl ReadBack {
    /// Whether the document must not be delivered.
    pub fn blocks(&self) -> bool {
        self.findings_total > 0
    }

    /// Writes the pictures into `folder`, which is made if it is not there; their paths.
    ///
    /// # Errors
    /// The folder or a file cannot be written.
    pub fn write_pictures(&self, folder: &Path) -> Result<Vec<PathBuf>, ChecklistError> {
        let failed = |path: &Path, action: &'static str| {
            let path = path.to_owned();
            move |source: std::io::Error| ChecklistError::Io { path, action, source }
        };
        if !self.pictures.is_empty() {
            std::fs::create_dir_all(folder).map_err(failed(folder, "cannot be created"))?;
        }
        let mut written = Vec::new();
        for picture in &self.pictures {
            let path = folder.join(&picture.file_name);
            std::fs::write(&path, &picture.png).map_err(failed(&path, "cannot be written"))?;
            written.push(path);
        }
        Ok(written)
    }

    fn find(
        &mut self,
        limits: &Limits,
        check: Check,
        page: Option<u32>,
        place: impl Into<String>,
        what: String,
    ) {
        self.findings_total += 1;
        if self.findings.len() < limits.findings {
            self.findings.push(Finding {
                check,
                page,
                place: place.into(),
                what,
            });
        }
    }
}

/// Reads `pdf`, which should be [`crate::render`] of `model` with these fonts, and compares text, marks,
/// attachments and the look of every page with the model. Whatever the bytes are, a difference is a finding.
///
/// # Errors
/// The model itself cannot be typeset, or is too large.
pub fn read_back(
    pdf: &[u8],
    model: &DocumentModel,
    fonts: &FontSource,
    limits: &Limits,
) -> Result<ReadBack, ChecklistError> {
    crate::typeset::bounded(model)?;
    let mut found = ReadBack::default();
    attachments(&mut found, limits, pdf, model)?;
    let pages = match content::pages(pdf, limits.pages) {
        Ok(pages) => pages,
        Err(why) => {
            found.find(limits, Check::File, None, "file", why);
            return Ok(found);
        }
    };
    let data = shown(&model.data, fonts)?;
    let required = required(model, &data);
    texts(&mut found, limits, &pages, &required);
    page_marks(&mut found, limits, &pages, &data, model.language);
    let document = crate::typeset::typeset(model, fonts, model.template.text())?;
    let (count, wanted) = (pages.len(), document.pages().len());
    if count != wanted {
        found.find(
            limits,
            Check::Raster,
            None,
            "pages",
            format!("there are {count}, there should be {wanted}"),
        );
    }
    let mut shapes = Vec::new();
    let drawn = {
        let (found, shapes) = (&mut found, &mut shapes);
        tminus_seal::guarded(move || {
            raster::each_page(pdf, limits.pages, |index, read| {
                shapes.extend(shapes_of(&pages, index, &read));
                if let Some(wanted) = raster::reference(&document, index) {
                    look(found, limits, index, &read, &wanted)?;
                }
                Ok(())
            })
        })
    };
    if let Err(why) = drawn {
        found.find(limits, Check::File, None, "file", why);
    }
    compare_marks(&mut found, limits, &required.marks, &shapes);
    typst::comemo::evict(0);
    Ok(found)
}

/// The text of each page of a PDF that may be anybody's, in the order in which it is drawn.
///
/// # Errors
/// One sentence on why it cannot be read. Never panics.
pub fn page_texts(pdf: &[u8], pages_max: usize) -> Result<Vec<String>, String> {
    let text = |page: &Page| runs(page).map(|run| run.text.as_str()).collect();
    Ok(content::pages(pdf, pages_max)?.iter().map(text).collect())
}

/// The attached files of a PDF that may be anybody's, by name.
///
/// # Errors
/// One sentence on why they cannot be read. Never panics.
pub fn attached_files(pdf: &[u8]) -> Result<std::collections::BTreeMap<String, Vec<u8>>, String> {
    crate::extract::attachments(pdf)
}

/// The data as pages show it: characters that no font has are named by their number.
fn shown(data: &ChecklistData, fonts: &FontSource) -> Result<ChecklistData, ChecklistError> {
    let shown = crate::render::shown(data, fonts)?;
    serde_json::from_value(shown).map_err(|e| ChecklistError::Typeset { what: e.to_string() })
}

/// What the pages must say and show; `data` as pages show it.
fn required(model: &DocumentModel, data: &ChecklistData) -> Required {
    let on_paper = fields::OnPaper {
        files: file_names(model),
        by_hand: model.on_paper.by_hand.as_ref().map(|page| &page.table),
        instead_of: model.template.instead_of(),
    };
    Required::of(data, &on_paper, model.language)
}

/// Those of the model and the data itself, in the order of the list on the last page.
fn file_names(model: &DocumentModel) -> Vec<&str> {
    let names = model.attachments.iter().map(|a| a.name.as_str());
    [crate::model::DATA_FILE].into_iter().chain(names).collect()
}

fn attachments(
    found: &mut ReadBack,
    limits: &Limits,
    pdf: &[u8],
    model: &DocumentModel,
) -> Result<(), ChecklistError> {
    let mut read = match crate::extract::attachments(pdf) {
        Ok(read) => read,
        Err(why) => {
            found.find(limits, Check::Attachment, None, "attached files", why);
            return Ok(());
        }
    };
    let data = crate::render::data_bytes(&model.data)?;
    let files = model.attachments.iter().map(|a| (a.name.as_str(), &a.bytes));
    for (name, bytes) in files.chain([(crate::model::DATA_FILE, &data)]) {
        // The typesetter names them by a path from its root.
        let read = read.remove(name).or_else(|| read.remove(&format!("/{name}")));
        let what = match read {
            Some(read) if &read == bytes => continue,
            Some(read) => format!("it differs: {} bytes instead of {}", read.len(), bytes.len()),
            None => "it is not attached".to_owned(),
        };
        found.find(limits, Check::Attachment, None, name, what);
    }
    for name in read.keys() {
        found.find(
            limits,
            Check::Attachment,
            None,
            name.as_str(),
            "nothing of the record, and attached all the same".to_owned(),
        );
    }
    Ok(())
}

fn texts(found: &mut ReadBack, limits: &Limits, pages: &[Page], required: &Required) {
    let mut body = Body::default();
    for page in pages {
        let text: String = runs(page)
            .filter(|run| !run.artifact)
            .map(|run| run.text.as_str())
            .collect();
        body.page(&squeeze(&text));
    }
    for missing in text::missing(&body, &required.sections) {
        found.find(
            limits,
            Check::Text,
            missing.page,
            format!("{}, {}", missing.section, missing.field),
            format!("\u{201c}{}\u{201d} is not where it must be", missing.text),
        );
    }
}

fn runs(page: &Page) -> impl Iterator<Item = &content::Run> {
    page.pieces.iter().filter_map(|piece| match piece {
        Piece::Text(run) => Some(run),
        Piece::MarkBox(_) => None,
    })
}

/// What every page has for itself: the water mark across it and again in its foot, its number, a glyph for
/// every character, and nothing beside it.
fn page_marks(
    found: &mut ReadBack,
    limits: &Limits,
    pages: &[Page],
    data: &ChecklistData,
    language: Language,
) {
    let rehearsal = words::tell(language, ["演练", "REHEARSAL"], "");
    let mark = squeeze(&words::water_mark(data));
    for (index, page) in pages.iter().enumerate() {
        let number = page_number(index);
        let of = |slanted: bool| {
            let text: String = runs(page)
                .filter(|run| run.artifact && run.slanted == slanted)
                .map(|run| run.text.as_str())
                .collect();
            squeeze(&text)
        };
        let (across, around) = (of(true), of(false));
        let (page_index, count) = (index + 1, pages.len());
        let counted = if language.has_en() {
            format!("page{page_index}of{count}")
        } else {
            format!("第{page_index}页，共{count}页")
        };
        let mut required = vec![
            ("water mark across the page", &across, mark.as_str()),
            ("water mark in the foot", &around, mark.as_str()),
            ("page number", &around, counted.as_str()),
        ];
        if data.rehearsal {
            required.push(("rehearsal across the page", &across, rehearsal.as_str()));
            required.push(("rehearsal in the head", &around, rehearsal.as_str()));
        }
        for (place, text, what) in required {
            if !text.contains(what) {
                let what = format!("\u{201c}{what}\u{201d} is missing");
                let check = Check::WaterMark;
                found.find(limits, check, number, place, what);
            }
        }
        for run in runs(page) {
            if run.missing_glyph || run.text.contains(char::REPLACEMENT_CHARACTER) {
                let what = "a character has no glyph".to_owned();
                found.find(
                    limits,
                    Check::Glyph,
                    number,
                    format!("\u{201c}{}\u{201d}", run.text),
                    what,
                );
            }
            let beside =
                run.x_pt < 0.0 || run.y_pt < 0.0 || run.x_pt > page.width_pt || run.y_pt > page.height_pt;
            if beside && !run.artifact && !run.text.trim().is_empty() {
                let what = "it stands beside the page".to_owned();
                found.find(
                    limits,
                    Check::Glyph,
                    number,
                    format!("\u{201c}{}\u{201d}", run.text),
                    what,
                );
            }
        }
    }
}

fn page_number(index: usize) -> Option<u32> {
    u32::try_from(index + 1).ok()
}

/// Page and what stands in it, of each mark in the order in which they are drawn.
type ReadMark = (Option<u32>, Option<words::Shape>);

fn shapes_of(pages: &[Page], index: usize, raster: &Raster) -> Vec<ReadMark> {
    let Some(page) = pages.get(index) else {
        return Vec::new();
    };
    let boxes = page.pieces.iter().filter_map(|piece| match piece {
        Piece::MarkBox(at) => Some(*at),
        Piece::Text(_) => None,
    });
    boxes
        .map(|at| (page_number(index), marks::shape(raster, page.height_pt, at)))
        .collect()
}

fn compare_marks(found: &mut ReadBack, limits: &Limits, wanted: &[fields::ExpectedMark], read: &[ReadMark]) {
    if wanted.len() != read.len() {
        found.find(
            limits,
            Check::Mark,
            None,
            "marks",
            format!("{} are drawn, there should be {}", read.len(), wanted.len()),
        );
    }
    for (wanted, (page, shape)) in wanted.iter().zip(read) {
        if *shape != Some(wanted.shape) {
            let drawn = shape.map_or("none of the three marks".to_owned(), |s| s.to_string());
            found.find(
                limits,
                Check::Mark,
                *page,
                wanted.name.clone(),
                format!("{drawn} is drawn, it must be {}", wanted.shape),
            );
        }
    }
}

/// Findings of one page that are named one by one.
const TILES_OF_A_PAGE: usize = 4;

fn look(
    found: &mut ReadBack,
    limits: &Limits,
    index: usize,
    read: &Raster,
    wanted: &Raster,
) -> Result<(), String> {
    let page = page_number(index);
    if read.width.abs_diff(wanted.width) > 1 || read.height.abs_diff(wanted.height) > 1 {
        let sizes = (read.width, read.height, wanted.width, wanted.height);
        let what = format!(
            "it measures {} by {} pixels, it should {} by {}",
            sizes.0, sizes.1, sizes.2, sizes.3
        );
        found.find(limits, Check::Raster, page, "size", what);
    }
    let mut tiles = raster::tiles(read, wanted);
    tiles.sort_by(|l, r| r.percent.total_cmp(&l.percent));
    found.pages.push(PageRead {
        page: page.unwrap_or_default(),
        worst_tile_percent: tiles.first().map_or(0.0, |t| t.percent),
    });
    let over: Vec<Tile> = tiles
        .into_iter()
        .take_while(|t| t.percent > limits.tile_percent)
        .collect();
    let mut named: Vec<Tile> = Vec::new();
    for tile in &over {
        let near = |other: &Tile| {
            other.x_px.abs_diff(tile.x_px) < 6 * TILE_PX && other.y_px.abs_diff(tile.y_px) < 6 * TILE_PX
        };
        if named.len() >= TILES_OF_A_PAGE || named.iter().any(near) {
            continue;
        }
        named.push(*tile);
        let place = format!("tile at {}, {} px", tile.x_px, tile.y_px);
        let mut what = format!(
            "it differs from what the data give by {:.1} %, more than {} % ({} tiles of the page do)",
            tile.percent,
            limits.tile_percent,
            over.len()
        );
        if found.pictures.len() < limits.pictures {
            let file_name = format!("page-{}-tile-{}-{}.png", index + 1, tile.x_px, tile.y_px);
            what.push_str(&format!("; see {file_name}"));
            found.pictures.push(Picture {
                file_name,
                png: picture::png(read, wanted, *tile)?,
            });
        }
        found.find(limits, Check::Raster, page, place, what);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
