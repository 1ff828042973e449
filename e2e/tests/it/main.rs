//! Whole launches on loopback, the play page in a real browser, and what the documents claim.
#![cfg(test)]

mod browser;
mod common;
mod deadlines;
mod launches;
mod long_games;
mod lying_disk;
mod other_backend;
mod play_page;
mod play_page_emotes;
mod play_page_lobby;
mod play_page_steps;
mod play_page_table;
mod reference_page;
mod released_contract;
mod traces;
mod transcoded;
mod watched;
mod workspace;
