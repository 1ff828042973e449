//! Fonts: Chinese from the system, the rest built in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use typst::foundations::Bytes;
use typst::text::{Font, FontInfo};
use typst_kit::fonts::{FontPath, FontStore};

use crate::ChecklistError;

/// The family that the template asks for.
pub(crate) const CJK_FAMILY: &str = "Noto Sans CJK SC";

/// Where Debian, Fedora, Arch and macOS' Homebrew put the collections.
const FOLDERS: [&str; 6] = [
    "/usr/share/fonts/opentype/noto",
    "/usr/share/fonts/google-noto-cjk",
    "/usr/share/fonts/google-noto-sans-cjk-fonts",
    "/usr/share/fonts/noto-cjk",
    "/usr/local/share/fonts",
    "/Library/Fonts",
];
const FILES: [&str; 2] = ["NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"];

/// The fonts that a document may use; clones share them.
#[derive(Clone)]
pub struct FontSource {
    pub(crate) store: Arc<FontStore>,
}

impl std::fmt::Debug for FontSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.store.book().families().map(|(family, _)| family))
            .finish()
    }
}

impl FontSource {
    /// The system's Noto Sans CJK: from where distributions put it, else by a scan of all fonts.
    ///
    /// # Errors
    /// None is installed; the message says what to install.
    pub fn system() -> Result<Self, ChecklistError> {
        let folders: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
        if let Ok(found) = Self::from_folders(&folders) {
            return Ok(found);
        }
        let mut store = FontStore::new();
        let scanned: Vec<(FontPath, FontInfo)> = typst_kit::fonts::system()
            .filter(|(_, info)| info.family == CJK_FAMILY)
            .collect();
        let found = !scanned.is_empty();
        store.extend(scanned);
        if found {
            Ok(Self::with_built_in(store))
        } else {
            Err(missing(&folders, true))
        }
    }

    /// Only from these folders.
    ///
    /// # Errors
    /// The regular face is in none of them.
    pub fn from_folders(folders: &[PathBuf]) -> Result<Self, ChecklistError> {
        let mut store = FontStore::new();
        let mut found = false;
        for file in FILES {
            let Some(font) = folders.iter().find_map(|folder| face(&folder.join(file))) else {
                continue;
            };
            found = true;
            let info = font.info().clone();
            store.push((font, info));
        }
        if found {
            Ok(Self::with_built_in(store))
        } else {
            Err(missing(folders, false))
        }
    }

    fn with_built_in(mut store: FontStore) -> Self {
        store.extend(typst_kit::fonts::embedded());
        Self {
            store: Arc::new(store),
        }
    }

    /// Whether any of the fonts can draw the character.
    pub(crate) fn can_draw(&self, character: char) -> bool {
        let book = self.store.book();
        (0..)
            .map_while(|index| book.info(index))
            .any(|info| info.coverage.contains(u32::from(character)))
    }
}

/// The Simplified Chinese face of a collection. Stops reading faces once it is found: each costs
/// a walk over tens of thousands of characters.
fn face(path: &Path) -> Option<Font> {
    let bytes = Bytes::new(std::fs::read(path).ok()?);
    Font::iter(bytes).find(|font| font.info().family == CJK_FAMILY)
}

fn missing(folders: &[PathBuf], scanned: bool) -> ChecklistError {
    let folders: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
    let scan = if scanned { " and in all system fonts" } else { "" };
    ChecklistError::NoCjkFont {
        looked_for: format!("{CJK_FAMILY} in {}{scan}", folders.join(", ")),
    }
}
