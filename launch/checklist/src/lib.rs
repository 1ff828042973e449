//! The checklist: a PDF typeset from the launch record alone, and its verification, offline.
//!
//! Owns: what the document says ([`DocumentModel`]), how it looks (`template/checklist.typ`), what is
//! attached to it, and the checks that an auditor runs over file and record ([`verify`]). Never asks a
//! live system, never reads a clock: the same record and fonts give the same bytes.
//!
//! Judging is not done here either: every verdict comes out of `tminus-plan`, when the document is made
//! and once more, from the record, when it is verified.

#[cfg(test)]
extern crate self as tminus_checklist;

mod claims;
mod entries;
mod error;
mod extract;
mod fonts;
mod format;
mod html;
mod metadata;
mod model;
mod read_back;
mod redact;
mod render;
mod sample;
mod template;
mod timeline;
mod typeset;
mod verify;
mod view;
mod words;

pub use error::ChecklistError;
pub use fonts::FontSource;
pub use html::html;
pub use model::{Attachment, ByHand, DocumentModel, OnPaper};
pub use read_back::{
    Check, Finding, Limits, PageRead, Picture, ReadBack, attached_files, compare_html, compare_html_marks,
    page_texts, read_back,
};
pub use redact::for_customers;
pub use render::render;
pub use sample::{Course, SampleOf, sample};
pub use template::{OwnTemplate, TEMPLATE, Template};
pub use verify::{Reader, VerifyLine, VerifyReport, verify, verify_with};
pub use view::{
    ApprovalView, AttemptView, CanaryStepView, ChartView, ChecklistData, DATA_SCHEMA, EvidenceView,
    ExpectationView, FeedbackView, GateMark, GateView, ItemView, Mark, NamedDigest, NamedValue, Overall,
    RecordView, RoleView, SignOffView, SignedView, Stamp, TimelineRow, TimelineView, TotalsView, UnitView,
    WindowView,
};
