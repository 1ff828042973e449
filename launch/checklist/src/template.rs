//! What a document is typeset with: the template that every release brings, or one of the launch's own artifacts.

use crate::entries::sha256_hex;
use crate::model::{Attachment, plain};
use crate::view::NamedDigest;
use crate::{ChecklistError, DocumentModel};

/// The release's own template, to begin one with.
pub const TEMPLATE: &str = include_str!("../template/checklist.typ");

/// Pictures stand in a template as bytes; the shipped one has 36,000.
const MAX_BYTES: usize = 1024 * 1024;

/// What a document is typeset with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Template {
    /// [`TEMPLATE`].
    #[default]
    Shipped,
    Own(OwnTemplate),
    /// [`TEMPLATE`] instead of the artifact of this name, which did not do; the document says so.
    InsteadOf(String),
}

impl Template {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Own(own) => &own.text,
            Self::Shipped | Self::InsteadOf(_) => TEMPLATE,
        }
    }

    pub(crate) fn instead_of(&self) -> Option<&str> {
        match self {
            Self::InsteadOf(name) => Some(name),
            Self::Shipped | Self::Own(_) => None,
        }
    }
}

/// A template of the launch's own, known to be the one whose digest is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTemplate {
    name: String,
    text: String,
}

impl OwnTemplate {
    /// The artifact `name`; `artifacts` are those of the launch.
    ///
    /// # Errors
    /// It is no artifact of the launch or not the one that the launch began with; it is no text, or too large.
    pub fn new(name: &str, bytes: Vec<u8>, artifacts: &[NamedDigest]) -> Result<Self, ChecklistError> {
        let refused = |why: String| ChecklistError::Template {
            name: name.to_owned(),
            why,
        };
        if bytes.len() > MAX_BYTES {
            return Err(refused(format!(
                "it has {} bytes, more than the {MAX_BYTES} of a template",
                bytes.len()
            )));
        }
        let found = sha256_hex(&bytes);
        let recorded = artifacts.iter().find(|artifact| artifact.name == name);
        match recorded.map(|artifact| artifact.sha256.as_str()) {
            Some(sha256) if sha256 == found => {}
            Some(sha256) => {
                return Err(refused(format!(
                    "its SHA-256 is {found}; the launch began with {sha256}"
                )));
            }
            None => return Err(refused("the launch has no such artifact".to_owned())),
        }
        let text = String::from_utf8(bytes).map_err(|e| refused(format!("it is no text: {e}")))?;
        Ok(Self {
            name: name.to_owned(),
            text,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Attachments in it are templates and nothing else.
pub(crate) const TEMPLATE_FOLDER: &str = "template/";

/// The name of the attachment that holds the template.
pub(crate) fn template_file(name: &str) -> String {
    format!("{TEMPLATE_FOLDER}{}.typ", plain(name))
}

impl DocumentModel {
    /// Typesets with this template, and attaches it: whoever checks the document sees how it was made.
    pub fn set_with(&mut self, own: OwnTemplate) {
        self.attachments.push(Attachment {
            name: template_file(&own.name),
            mime_type: "text/plain",
            description: format!(
                "The template that this document is typeset with: artifact `{}` of the launch",
                own.name
            ),
            bytes: own.text.clone().into_bytes(),
        });
        self.template = Template::Own(own);
    }
}
