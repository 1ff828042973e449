//! The time limits of a plan's hops, from the files that hold them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tminus_plan::deadlines::{Hop, Included, Route, gateway_route, nginx_routes};
use tminus_plan::{DeadlinesSpec, HopSource};

use crate::error::io_words;
use crate::gates::{CouldNotRun, Measured, shorten};

const FILE_BYTES_MAX: u64 = 1 << 20;
/// Files that one `include` names.
const INCLUDED_MAX: usize = 1_000;

/// Reads every hop's limits; names each file and its digest among the inputs.
///
/// # Errors
/// A file cannot be read, or does not read: with file, line and column.
pub(super) fn read(spec: &DeadlinesSpec, measured: &mut Measured) -> Result<Vec<Hop>, CouldNotRun> {
    let mut hops = Vec::new();
    for hop in &spec.hops {
        let mut known = |path: &str| -> Result<String, CouldNotRun> {
            let text = text_of(Path::new(path)).map_err(|why| {
                CouldNotRun::new(format!(
                    "the configuration of `{}`, {path}, cannot be read: {why}",
                    hop.name
                ))
                .hint("name a file that this machine can read, or write the limits out under `limits`")
            })?;
            let digest = hex::encode(Sha256::digest(text.as_bytes()));
            measured.input(
                &format!("hop {}", hop.name),
                format!("{} sha256 {digest}", shorten(path, 300)),
            );
            Ok(text)
        };
        let told = |e: tminus_plan::PlanError| {
            CouldNotRun::new(format!("the limits of `{}` are not known: {e}", hop.name))
        };
        let routes = match &hop.source {
            HopSource::Given(route) => vec![Route::clone(route)],
            HopSource::Gateway { path } => vec![gateway_route(&known(path)?, path).map_err(told)?],
            HopSource::Nginx { path, location } => {
                let folder = Path::new(path).parent().unwrap_or(Path::new(""));
                let mut include = |pattern: &str| included(folder, pattern);
                nginx_routes(&known(path)?, path, location.as_deref(), &mut include).map_err(told)?
            }
        };
        hops.push(Hop {
            name: hop.name.clone(),
            keeps_deadline: hop.keeps_deadline,
            routes,
        });
    }
    Ok(hops)
}

fn text_of(path: &Path) -> Result<String, String> {
    let told = |e: std::io::Error| io_words(&e);
    if !std::fs::metadata(path).map_err(told)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(told)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(told)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is longer than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// The files that an `include` names, by name. `*` and `?` may stand in the last part.
fn included(folder: &Path, pattern: &str) -> Result<Vec<Included>, String> {
    let path = folder.join(pattern);
    let one = |path: PathBuf| Ok((path.display().to_string(), text_of(&path)?));
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if !pattern.contains(['*', '?', '[']) {
        return one(path).map(|file| vec![file]);
    }
    let within = path.parent().unwrap_or(Path::new(""));
    if within.to_string_lossy().contains(['*', '?', '[']) || name.contains('[') {
        return Err("only `*` and `?` are understood, in the file's name".to_owned());
    }
    let entries = match std::fs::read_dir(within) {
        // A pattern may name nothing.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| io_words(&e))?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| io_words(&e))?;
        let found = entry.file_name();
        let found = found.to_string_lossy();
        // As in a shell, a name that begins with a dot is meant only when the pattern does.
        if matches(name.as_bytes(), found.as_bytes()) && found.starts_with('.') == name.starts_with('.') {
            paths.push(entry.path());
        }
        if paths.len() > INCLUDED_MAX {
            return Err(format!("it names more than {INCLUDED_MAX} files"));
        }
    }
    paths.sort();
    paths.into_iter().map(one).collect()
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where to go on when a `*` takes one byte more.
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, position));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[position] => {
                at += 1;
                position += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (at, position) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_files_as_a_shell_does() {
        for (pattern, text, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a*b*c", "a-b-b-c", true),
            ("?.conf", "ab.conf", false),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }
}
