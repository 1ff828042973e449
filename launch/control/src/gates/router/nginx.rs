//! An nginx on this machine as a router: one file of the split, tested, taken in by a reload, counted.
//!
//! It writes that file and nothing else. A file that nginx does not take is put back as it was, and so
//! is one that a running nginx did not take in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tminus_plan::{NginxSpec, NginxSpread, Releases};

use super::nginx_file::{Contents, Dump, Found, is_plain, read};
use super::nginx_process::{Master, call};
use super::probe::Probe;
use super::{Answer, Router, uncounted};
use crate::error::io_words;
use crate::gates::CouldNotRun;

/// A file of ours is far smaller.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// After a drain: how long at most until the workers of former configurations have ended.
const FORMER_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Nginx {
    spec: NginxSpec,
    stable: String,
    canary: String,
    releases: Releases,
    probe: Option<Probe>,
    file: PathBuf,
    draining: bool,
    /// What this run has written last, and is in force.
    in_force: Option<String>,
}

impl Nginx {
    /// # Errors
    /// A name cannot stand in nginx's configuration.
    pub fn new(
        spec: NginxSpec,
        (stable, canary): (String, String),
        releases: Releases,
        probe: Option<Probe>,
    ) -> Result<Self, CouldNotRun> {
        for (what, name) in [
            ("`stable`", &stable),
            ("`canary`", &canary),
            ("`releases.stable`", &releases.stable),
            ("`releases.canary`", &releases.canary),
        ] {
            if !is_plain(name) {
                return Err(CouldNotRun::new(format!(
                    "{what} is `{name}`, which cannot stand in nginx's configuration"
                ))
                .hint("letters, digits, `.`, `_`, `+` and `-` can"));
            }
        }
        if stable == canary {
            return Err(CouldNotRun::new(format!(
                "`stable` and `canary` are both `{stable}`"
            )));
        }
        Ok(Self {
            file: PathBuf::from(&spec.file),
            spec,
            stable,
            canary,
            releases,
            probe,
            draining: false,
            in_force: None,
        })
    }

    fn render(&self, percent: u32) -> String {
        Contents {
            spec: &self.spec,
            stable: &self.stable,
            canary: &self.canary,
            releases: &self.releases,
            percent,
            draining: self.draining,
        }
        .render()
    }

    fn cannot(&self, doing: &str, error: &std::io::Error) -> CouldNotRun {
        CouldNotRun::new(format!(
            "cannot {doing} {}: {}",
            self.file.display(),
            io_words(error)
        ))
        .hint("whoever runs tminus needs to write in the folder of `file`")
    }

    fn present(&self) -> Result<Option<String>, CouldNotRun> {
        match std::fs::metadata(&self.file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.cannot("read", &e)),
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                return Err(CouldNotRun::new(format!(
                    "{} has {} bytes: it is not the split's file",
                    self.file.display(),
                    metadata.len()
                )));
            }
            Ok(_) => {}
        }
        let bytes = std::fs::read(&self.file).map_err(|e| self.cannot("read", &e))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Nobody's work is overwritten unasked. A change by hand in the middle of our rollout gives way when the
    /// canary is taken back, and is kept aside.
    fn may_overwrite(&self, present: Option<&str>, percent: u32) -> Result<(), CouldNotRun> {
        let Some(present) = present else { return Ok(()) };
        let what = match read(present) {
            Found::Nothing | Found::Ours { .. } => return Ok(()),
            _ if self.spec.force => return Ok(()),
            Found::Changed => "was changed by hand since T-minus wrote it",
            Found::Foreign => "is there and was not written by T-minus",
        };
        let file = self.file.display();
        if self.in_force.is_some() && percent == 0 {
            let aside = self.beside("by-hand");
            std::fs::write(&aside, present).map_err(|e| self.cannot("keep the change of", &e))?;
            tracing::warn!(file = %file, kept = %aside.display(), "the split's file was changed by hand; the canary is taken back");
            return Ok(());
        }
        Err(CouldNotRun::new(format!("{file} {what}")).hint(
            "move the change to another file and remove this one, or take it over with `force: true` in the plan's `nginx`",
        ))
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.file.as_os_str().to_owned();
        name.push(format!(".{ending}"));
        name.into()
    }

    /// Readers see the old file or the new one, whole.
    fn replace(&self, text: &str) -> Result<(), CouldNotRun> {
        use std::io::Write as _;
        // nginx's `include *.conf` does not meet it.
        let fresh = self.beside("new");
        let write = || {
            let mut file = std::fs::File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &self.file)
        };
        write().map_err(|e| self.cannot("write", &e))
    }

    fn restore(&self, before: Option<&str>) {
        let restored = match before {
            Some(text) => self.replace(text),
            None => std::fs::remove_file(&self.file).map_err(|e| self.cannot("remove", &e)),
        };
        if let Err(error) = restored {
            tracing::warn!(why = error.why, "nginx's file could not be put back");
        }
    }

    /// Tests the configuration with our file in it; answers where the master's process id stands.
    async fn test(&self) -> Result<String, CouldNotRun> {
        let said = call(&self.spec.program, &["-T", "-c", &self.spec.config]).await?;
        if !said.success {
            return Err(CouldNotRun::new(format!(
                "nginx does not take the configuration: {}",
                said.words()
            )));
        }
        let ours = std::fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let is_ours = |path: &str| {
            Path::new(path) == self.file || std::fs::canonicalize(path).is_ok_and(|path| path == ours)
        };
        let dump = Dump(&said.stdout);
        let (file, config) = (&self.spec.file, &self.spec.config);
        if !dump.includes(is_ours) {
            return Err(CouldNotRun::new(format!("{config} does not include {file}"))
                .hint(format!("write `include {file};` into its `http` block")));
        }
        let variable = format!("${}_upstream", self.spec.name);
        if !dump.uses(&variable, is_ours) {
            return Err(
                CouldNotRun::new(format!("nothing in {config} is passed on to {variable}")).hint(format!(
                    "write `proxy_pass http://{variable};` into the location that is split"
                )),
            );
        }
        for upstream in [&self.stable, &self.canary] {
            if !dump.has_upstream(upstream) {
                return Err(CouldNotRun::new(format!("{config} has no upstream `{upstream}`"))
                    .hint("define it, or give its addresses as `servers` in the plan's `nginx`"));
            }
        }
        if let Some(pid) = &self.spec.pid {
            return Ok(pid.clone());
        }
        if let Some(pid) = dump.pid_file().filter(|pid| pid.starts_with('/')) {
            return Ok(pid.to_owned());
        }
        let built = call(&self.spec.program, &["-V"]).await?;
        built
            .stderr
            .split_whitespace()
            .find_map(|word| word.strip_prefix("--pid-path="))
            .filter(|path| dump.pid_file().is_none() && path.starts_with('/'))
            .map(str::to_owned)
            .ok_or_else(|| {
                CouldNotRun::new(format!(
                    "{config} does not say where the master's process id stands"
                ))
                .hint("give it as `pid` in the plan's `nginx`")
            })
    }

    /// The file as it should be, tested and in force.
    async fn apply(&mut self, percent: u32) -> Result<(), CouldNotRun> {
        let present = self.present()?;
        let wanted = self.render(percent);
        if present.as_ref() == Some(&wanted) && self.in_force.as_ref() == Some(&wanted) {
            return Ok(());
        }
        self.may_overwrite(present.as_deref(), percent)?;
        self.replace(&wanted)?;
        match self.take_in().await {
            Ok(()) => {
                self.in_force = Some(wanted);
                Ok(())
            }
            Err(error) => {
                self.restore(present.as_deref());
                Err(error)
            }
        }
    }

    async fn take_in(&self) -> Result<(), CouldNotRun> {
        let pid = self.test().await?;
        let master = Master::find(&pid)?;
        let said = call(&self.spec.program, &["-s", "reload", "-c", &self.spec.config]).await?;
        if !said.success {
            return Err(CouldNotRun::new(format!(
                "nginx cannot be reloaded: {}",
                said.words()
            )));
        }
        master.reloaded().await
    }

    async fn drain(&mut self, draining: bool) -> Result<String, CouldNotRun> {
        self.draining = draining;
        if !draining {
            self.apply(0).await?;
            return Ok("pins to the canary are in force".to_owned());
        }
        self.apply(0).await?;
        let master = Master::find(&self.test().await?)?;
        Ok(match master.former_gone(FORMER_MAX).await {
            0 => "the canary is out of nginx, and no worker of a former configuration is left".to_owned(),
            left => format!(
                "the canary is out of nginx; {left} workers of former configurations still hold connections \
                 (`worker_shutdown_timeout` of nginx bounds that)"
            ),
        })
    }
}

impl Router for Nginx {
    fn weight(&mut self) -> Answer<'_, u32> {
        Box::pin(async {
            let present = self.present()?;
            Ok(match present.as_deref().map(read) {
                Some(Found::Ours { percent }) => percent,
                // Whether it may be overwritten is asked when it is.
                _ => 0,
            })
        })
    }

    fn set_weight(&mut self, canary_percent: u32) -> Answer<'_, ()> {
        Box::pin(self.apply(canary_percent))
    }

    fn verify(&mut self, canary_percent: u32) -> Answer<'_, String> {
        Box::pin(async move {
            if let Some(probe) = &mut self.probe {
                return probe.verify(canary_percent).await;
            }
            let spread = match &self.spec.spread {
                NginxSpread::By { variable } => format!("players by ${variable}"),
                NginxSpread::Requests => "requests".to_owned(),
            };
            Ok(uncounted(
                canary_percent,
                &format!("{spread}; its workers are new"),
            ))
        })
    }

    fn set_draining(&mut self, draining: bool) -> Answer<'_, String> {
        Box::pin(self.drain(draining))
    }
}
