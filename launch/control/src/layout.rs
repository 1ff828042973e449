//! The folder of a launch: what lies where, and what to do with one that is there already.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{CliError, Kind, Result};

/// Where everything of one launch lies.
#[derive(Debug, Clone)]
pub struct Layout {
    pub out: PathBuf,
}

impl Layout {
    pub fn new(out: &Path) -> Self {
        Self { out: out.to_owned() }
    }

    pub fn record(&self) -> PathBuf {
        self.out.join("record")
    }

    pub fn checklist(&self) -> PathBuf {
        self.out.join("checklist.pdf")
    }

    pub fn packages(&self) -> PathBuf {
        self.out.join("packages")
    }

    /// One role's package, packed.
    pub fn package(&self, role: &str) -> PathBuf {
        self.packages().join(role).join(format!("{role}.zip"))
    }

    /// How the packages are handed out.
    pub fn delivery(&self) -> PathBuf {
        self.out.join("delivery.yaml")
    }

    /// What comes after the launch.
    pub fn after(&self) -> PathBuf {
        self.out.join("after.yaml")
    }

    /// The record of what was handed out.
    pub fn downloads(&self) -> PathBuf {
        self.out.join("downloads")
    }

    pub fn state(&self) -> PathBuf {
        self.out.join("state")
    }

    pub fn logs(&self) -> PathBuf {
        self.state().join("logs")
    }

    pub fn keys(&self) -> PathBuf {
        self.out.join("keys")
    }

    pub fn launch_key(&self) -> PathBuf {
        self.keys().join("launch.pem")
    }

    /// Signs and checks the links for feedback.
    pub fn feedback_key(&self) -> PathBuf {
        self.keys().join("feedback.key")
    }

    /// Tells `tminus sign-off` where the running launch listens.
    pub fn control(&self) -> PathBuf {
        self.state().join("control.json")
    }

    pub fn store(&self) -> PathBuf {
        self.state().join("starvault.sqlite")
    }

    /// The plan's own templates, as the launch began with them.
    pub fn templates(&self) -> PathBuf {
        self.out.join("templates")
    }

    /// One of them; artifacts are named by words with hyphens.
    pub fn template(&self, name: &str) -> PathBuf {
        self.templates().join(format!("{name}.typ"))
    }

    /// What the players were told: one line for each acknowledged command.
    pub fn acknowledged(&self) -> PathBuf {
        self.state().join("acknowledged.jsonl")
    }

    /// Makes the folders; keys are for the owner only.
    ///
    /// # Errors
    /// One cannot be made or written to.
    pub fn create(&self) -> Result<()> {
        for folder in [self.out.clone(), self.state(), self.logs(), self.keys()] {
            fs::create_dir_all(&folder).map_err(|e| CliError::file("create the folder", &folder, &e))?;
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let keys = self.keys();
            fs::set_permissions(&keys, fs::Permissions::from_mode(0o700))
                .map_err(|e| CliError::file("set the permissions of", &keys, &e))?;
        }
        // Said before anything is started, not in the middle.
        let probe = self.state().join(".writable");
        fs::write(&probe, b"x").map_err(|e| CliError::file("write to", &self.state(), &e))?;
        fs::remove_file(&probe).map_err(|e| CliError::file("write to", &self.state(), &e))
    }

    pub fn has_record(&self) -> bool {
        self.record().join("checkpoint").exists()
    }

    /// Moves a finished rehearsal out of the way, to `<out>.<launch id>`.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn move_aside(&self, launch_id: &str) -> Result<PathBuf> {
        let name = self
            .out
            .file_name()
            .map_or_else(|| "out".to_owned(), |n| n.to_string_lossy().into_owned());
        let parent = match self.out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        for n in 0..100 {
            let suffix = if n == 0 { String::new() } else { format!("-{n}") };
            let target = parent.join(format!("{name}.{launch_id}{suffix}"));
            if target.exists() {
                continue;
            }
            fs::rename(&self.out, &target).map_err(|e| CliError::file("move aside", &self.out, &e))?;
            return Ok(target);
        }
        Err(CliError::new(
            Kind::Environment,
            format!("cannot find a free name to move {} to", self.out.display()),
        )
        .hint("give another --out"))
    }
}

/// Writes a file whole or not at all: to a neighbour, synced, then renamed over it.
///
/// # Errors
/// Any step fails; the old file then still stands.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let mut next = path.as_os_str().to_owned();
    next.push(".new");
    let next = PathBuf::from(next);
    let written = fs::File::create(&next).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&next, path));
    placed.map_err(|e| {
        let _ = fs::remove_file(&next);
        CliError::file("write", path, &e)
    })?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(|e| CliError::file("sync", folder, &e))?;
    }
    Ok(())
}

/// Cuts a half-written last line off a file of lines, as a killed writer leaves it.
///
/// # Errors
/// The file cannot be read or cut.
pub fn cut_torn_line(path: &Path) -> Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let told = |e: &std::io::Error| CliError::file("mend", path, e);
    let mut file = match fs::File::options().read(true).write(true).open(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| told(&e))?,
    };
    let length = file.metadata().map_err(|e| told(&e))?.len();
    // A line is some hundred bytes long.
    let from = length.saturating_sub(64 * 1024);
    file.seek(SeekFrom::Start(from)).map_err(|e| told(&e))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(|e| told(&e))?;
    let whole = tail
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(from, |at| from + at as u64 + 1);
    if whole < length {
        file.set_len(whole).map_err(|e| told(&e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_and_whole_lines_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines");
        for (text, kept) in [("a\nb\nha", "a\nb\n"), ("a\n", "a\n"), ("half", ""), ("", "")] {
            fs::write(&file, text).unwrap();
            cut_torn_line(&file).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), kept, "{text:?}");
        }
        cut_torn_line(&folder.path().join("absent")).unwrap();
    }

    #[test]
    fn a_finished_rehearsal_is_moved_aside_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(&folder.path().join("out"));
        layout.create().unwrap();
        let first = layout.move_aside("r-1").unwrap();
        layout.create().unwrap();
        let second = layout.move_aside("r-1").unwrap();
        assert_eq!(first, folder.path().join("out.r-1"));
        assert_eq!(second, folder.path().join("out.r-1-1"));
    }

    #[test]
    fn a_folder_that_is_a_file_is_said_plainly() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        fs::write(&file, "x").unwrap();
        let said = Layout::new(&file).create().unwrap_err().to_string();
        assert!(said.contains(&file.display().to_string()), "{said}");
    }
}
