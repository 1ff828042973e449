//! The key of the feedback links, as a launch leaves it in its folder of keys.

use std::io::Read as _;
use std::path::Path;

use tminus_after::feedback::{FeedbackLinks, LinkKey};

use crate::error::{CliError, Kind, Result, from_part};
use crate::feedback_link::KEY_ID;

const BYTES_MAX: u64 = 1024;

/// Links checked by the key in a file: 64 hexadecimal digits, mode 0600.
///
/// # Errors
/// No such file, one that others can read, something else in it.
pub fn feedback_links(path: &Path) -> Result<FeedbackLinks> {
    let bytes = read(path)?;
    let key = LinkKey::new(KEY_ID, &bytes).and_then(|key| FeedbackLinks::new(vec![key]));
    key.map_err(|e| from_part(Kind::Usage, &path.display().to_string(), &e))
}

fn read(path: &Path) -> Result<[u8; 32]> {
    let file = std::fs::File::open(path).map_err(|e| {
        CliError::file("open the key of the feedback links", path, &e).hint(
            "a launch that ends makes it in its folder of keys; name the launch's folder in `launch`, or the file in `feedback_key`",
        )
    })?;
    let meta = file.metadata().map_err(|e| CliError::file("look at", path, &e))?;
    use std::os::unix::fs::PermissionsExt as _;
    let mode = meta.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CliError::usage(format!(
            "{} can be read by others (mode {mode:03o}): who has it can answer as anybody",
            path.display()
        ))
        .hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = String::new();
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|e| CliError::file("read", path, &e))?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
        CliError::usage(format!("{} holds no key: 64 hexadecimal digits", path.display()))
            .hint("put back the file that the launch made; links signed with another key are answered 404")
    })?;
    Ok(key)
}
