//! Programs of others in Python, for tests that compare ours with them.

use std::path::PathBuf;

use crate::python_folder::{COMPLETE, folder, interpreter};

/// The interpreter that knows the packages of `testing/python/requirements.txt`.
///
/// # Panics
/// They are not installed; the message has the command that does it.
#[must_use]
pub fn python() -> PathBuf {
    let home = std::env::var_os("HOME").expect("HOME says where tools are kept");
    let folder = folder(&PathBuf::from(home));
    assert!(
        folder.join(COMPLETE).exists(),
        "the Python packages of testing/python/requirements.txt are not installed in {}; run `cargo xtask setup`",
        folder.display()
    );
    interpreter(&folder)
}
