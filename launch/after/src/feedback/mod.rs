//! How it went, asked of those who were there.
//!
//! The code on the checklist's last page is a signed link ([`FeedbackLinks`]) to a form for a phone. An answer is on disk
//! ([`Store`]) before anyone is thanked, replaces the same browser's older one, and moves the figures on a dashboard.

mod form;
mod http;
mod limits;
mod links;
mod page;
mod qr;
mod store;

pub use form::TEXT_CHARACTERS_MAX;
pub use http::{Address, Feedback, Outside, Settings};
pub use limits::Rate;
pub use links::{FeedbackLinks, Invitation, LinkError, LinkKey};
pub use page::Language;
pub use qr::{LINK_BYTES_MAX, QrError, qr_rows, qr_svg};
pub use store::{Answer, Figures, STORE_BYTES_MAX, Store, StoreError};
