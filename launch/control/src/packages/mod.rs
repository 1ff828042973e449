//! The packages of a finished launch: for operations, for security, for customers.
//!
//! What goes into each is decided here; how a package is signed, packed and checked, in `tminus-packages`.

mod texts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tminus_checklist::{ChecklistData, DATA_SCHEMA, DocumentModel, FontSource, attached_files};
use tminus_packages::{DISCLOSURE_FILE, Disclosure, LaunchRef, NotChecked, Package, SHOWN_FILE};
use tminus_plan::{Fact, GateKind, LaunchState, RouterSpec};
use tminus_record::{SigningKey, note};

use crate::console::Console;
use crate::engine::book::Book;
use crate::error::{CliError, Kind, Result, from_part};
use crate::layout::{Layout, write_whole};
use crate::templates::{self, Edition};

/// Says what the fields of [`SHOWN_FILE`] are.
const SCHEMA_FILE: &str = "checklist-data.schema.json";
/// Readers, each with a package of its own.
pub const ROLES: [&str; 3] = ["ops", "security", "customer"];

/// A way back that was made from the router's own word.
#[derive(Debug, Clone)]
pub struct WayBack {
    pub script: String,
    /// How it was tried; none when it was not.
    pub tested: Option<String>,
}

/// Seals what is made here; given the PDF.
pub type Sealer<'a> = &'a dyn Fn(Vec<u8>) -> Result<Vec<u8>>;

/// What a package is made of.
pub struct Making<'a> {
    pub layout: &'a Layout,
    pub book: &'a Book,
    pub fonts: &'a FontSource,
    pub way_back: std::result::Result<WayBack, String>,
    pub seal: Option<Sealer<'a>>,
    pub console: &'a Console,
}

impl std::fmt::Debug for Making<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Making")
            .field("layout", self.layout)
            .finish_non_exhaustive()
    }
}

impl Making<'_> {
    /// Writes all packages; answers their ZIP files.
    ///
    /// # Errors
    /// The launch has not ended, or something cannot be typeset or written.
    pub fn write(&self) -> Result<Vec<PathBuf>> {
        let key = crate::keys::load(&self.layout.launch_key())?;
        let state = self.book.state()?;
        let full = self.document()?;
        let customers = Edition::Customer.of(full.clone())?;
        let secret = crate::keys::secret(&self.layout.keys().join("disclosure.key")).map_err(|e| {
            e.hint("packages that are out cannot be added to without it; move it away to begin anew")
        })?;
        let disclosures = Disclosures::new(&full.data, &customers.data, &secret)?;
        let launch = self.launch(&state);
        let mut written = Vec::new();
        for role in ROLES {
            let (files, not_checked, tested) = match role {
                "ops" => self.ops(&state, &full)?,
                "security" => self.security(&disclosures)?,
                _ => self.customer(&customers, &disclosures)?,
            };
            let mut files = files;
            let verifier = note::verifier_line(&launch.record_origin, &key.verifying_key());
            files.insert("launch.vkey".to_owned(), format!("{verifier}\n").into_bytes());
            let package = Package {
                name: role.to_owned(),
                launch: launch.clone(),
                disclosure_root: disclosures.root.clone(),
                not_checked,
                tested,
                files,
            };
            written.push(self.put(role, &package, &key)?);
        }
        Ok(written)
    }

    fn put(&self, role: &str, package: &Package, key: &SigningKey) -> Result<PathBuf> {
        let failed = |e: tminus_packages::PackageError| {
            from_part(Kind::Checklist, &format!("the package `{role}`"), &e)
        };
        let folder = self.layout.packages().join(role);
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|e| CliError::file("replace", &folder, &e))?;
        }
        for (name, bytes) in package.signed(key).map_err(failed)? {
            let file = folder.join(&name);
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent).map_err(|e| CliError::file("create the folder", parent, &e))?;
            }
            write_whole(&file, &bytes)?;
            executable(&file)?;
        }
        let zip = self.layout.package(role);
        write_whole(&zip, &package.zip(key).map_err(failed)?)?;
        Ok(zip)
    }

    /// The document as it was issued: made from all entries before its own issue.
    fn document(&self) -> Result<DocumentModel> {
        let not_ended = || {
            CliError::usage(format!(
                "the launch in {} has not ended",
                self.layout.out.display()
            ))
            .hint("packages are made of a finished checklist: go on with --resume")
        };
        let snapshot = self.book.snapshot();
        let Some((_, Fact::ChecklistIssued { .. })) = self.book.facts().last() else {
            return Err(not_ended());
        };
        let before = &snapshot.entries[..snapshot.entries.len().saturating_sub(1)];
        let checkpoint = self.book.checkpoint_before_last().ok_or_else(not_ended)?;
        let full = DocumentModel::from_record(before, checkpoint.as_bytes(), &snapshot.key)
            .map_err(|e| from_part(Kind::Checklist, "the checklist", &e))?;
        let mut model = Edition::Internal.of(full)?;
        // As the issued one, which may have had to do without the plan's template.
        let issued = attached_files(&self.checklist()?)
            .map_err(|why| CliError::new(Kind::Checklist, format!("the issued checklist: {why}")))?;
        if issued.keys().any(|name| name.starts_with("template/"))
            && let Some(own) = templates::kept(Edition::Internal, &model, self.layout)?
        {
            model.set_with(own);
        }
        Ok(model)
    }

    fn launch(&self, state: &LaunchState) -> LaunchRef {
        LaunchRef {
            launch_id: state.launch_id.clone(),
            product: state.plan.name.clone(),
            version: state.plan.version.clone(),
            record_origin: self.book.origin(),
            record_size: self.book.size(),
            record_root: self.book.root_hex(),
        }
    }

    fn checklist(&self) -> Result<Vec<u8>> {
        let file = self.layout.checklist();
        fs::read(&file).map_err(|e| CliError::file("read", &file, &e))
    }

    fn ops(&self, state: &LaunchState, full: &DocumentModel) -> Result<Content> {
        let mut files = BTreeMap::from([
            ("checklist.pdf".to_owned(), self.checklist()?),
            ("checklist.html".to_owned(), html(full)?),
            (
                "runbook.md".to_owned(),
                texts::runbook(state, &self.way_back).into_bytes(),
            ),
        ]);
        let mut not_checked = Vec::new();
        let mut tested = BTreeMap::new();
        match &self.way_back {
            Ok(way) => {
                files.insert("rollback.sh".to_owned(), way.script.clone().into_bytes());
                match &way.tested {
                    Some(how) => drop(tested.insert("rollback.sh".to_owned(), how.clone())),
                    None => not_checked.push(NotChecked {
                        what: "rollback.sh".to_owned(),
                        why: "made from the router's own word, and not run".to_owned(),
                    }),
                }
            }
            Err(why) => not_checked.push(NotChecked {
                what: "rollback.sh".to_owned(),
                why: why.clone(),
            }),
        }
        Ok((files, not_checked, tested))
    }

    fn security(&self, disclosures: &Disclosures) -> Result<Content> {
        let mut files = BTreeMap::from([
            ("checklist.pdf".to_owned(), self.checklist()?),
            (
                "verification.md".to_owned(),
                texts::VERIFICATION.as_bytes().to_vec(),
            ),
            (SHOWN_FILE.to_owned(), disclosures.full_json.clone()),
            (SCHEMA_FILE.to_owned(), DATA_SCHEMA.as_bytes().to_vec()),
            (DISCLOSURE_FILE.to_owned(), disclosures.full.clone()),
        ]);
        let record = self.layout.record();
        gather(&record, "record", &mut files)?;
        // A lock is the running launch's, and says nothing.
        files.retain(|name, _| !name.ends_with("/lock"));
        let missing = ["sbom", "cve-log.csv", "provenance"].map(|what| NotChecked {
            what: what.to_owned(),
            why: "the build of this launch's artifacts supplies none".to_owned(),
        });
        Ok((files, missing.to_vec(), BTreeMap::new()))
    }

    fn customer(&self, customers: &DocumentModel, disclosures: &Disclosures) -> Result<Content> {
        let said = |text: &str| self.console.line(text);
        let (model, mut pdf) = templates::typeset(
            Edition::Customer,
            customers.clone(),
            self.fonts,
            self.layout,
            &said,
        )?;
        if let Some(seal) = self.seal {
            pdf = seal(pdf)?;
        }
        let files = BTreeMap::from([
            ("checklist-customer.pdf".to_owned(), pdf),
            ("checklist-customer.html".to_owned(), html(&model)?),
            (SHOWN_FILE.to_owned(), disclosures.shown_json.clone()),
            (SCHEMA_FILE.to_owned(), DATA_SCHEMA.as_bytes().to_vec()),
            (DISCLOSURE_FILE.to_owned(), disclosures.shown.clone()),
        ]);
        Ok((files, Vec::new(), BTreeMap::new()))
    }
}

fn html(model: &DocumentModel) -> Result<Vec<u8>> {
    tminus_checklist::html(model)
        .map(String::into_bytes)
        .map_err(|e| from_part(Kind::Checklist, "the HTML edition", &e))
}

type Content = (
    BTreeMap<String, Vec<u8>>,
    Vec<NotChecked>,
    BTreeMap<String, String>,
);

struct Disclosures {
    root: String,
    full_json: Vec<u8>,
    full: Vec<u8>,
    shown_json: Vec<u8>,
    shown: Vec<u8>,
}

impl Disclosures {
    fn new(full: &ChecklistData, shown: &ChecklistData, secret: &[u8; 32]) -> Result<Self> {
        let failed = |why: String| CliError::new(Kind::Checklist, format!("the disclosure: {why}"));
        let json = |e: serde_json::Error| failed(e.to_string());
        let full_value: Value = serde_json::to_value(full).map_err(json)?;
        let shown_value: Value = serde_json::to_value(shown).map_err(json)?;
        let part = Disclosure::new(&full_value, &shown_value, secret).map_err(failed)?;
        let all = Disclosure::new(&full_value, &full_value, secret).map_err(failed)?;
        Ok(Self {
            root: all.root.clone(),
            full_json: serde_json::to_vec_pretty(&full_value).map_err(json)?,
            full: serde_json::to_vec(&all).map_err(json)?,
            shown_json: serde_json::to_vec_pretty(&shown_value).map_err(json)?,
            shown: serde_json::to_vec(&part).map_err(json)?,
        })
    }
}

/// The gateway that the plan's canary is steered by, and the names of its sides; why not, where there is none.
pub fn gateway_of(
    state: &LaunchState,
    variables: &BTreeMap<String, String>,
) -> std::result::Result<(String, String, String), String> {
    for item in &state.plan.items {
        for gate in &item.gates {
            let resolved = state
                .plan
                .resolve_gate(&item.id, &gate.id, state.rehearsal, variables)
                .map_err(|e| e.to_string());
            let GateKind::Canary(spec) = &gate.kind else {
                continue;
            };
            let GateKind::Canary(resolved) = resolved? else {
                continue;
            };
            return match &resolved.router {
                RouterSpec::Gateway { admin } => {
                    Ok((admin.clone(), spec.stable.clone(), spec.canary.clone()))
                }
                RouterSpec::Nginx(_) | RouterSpec::HttpRoute(_) => Err(
                    "the plan's router is no tminus-gateway; scripts are made for that one only".to_owned(),
                ),
            };
        }
    }
    Err("the plan has no canary".to_owned())
}

/// All files below a folder.
fn gather(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let listed = fs::read_dir(folder).map_err(|e| CliError::file("list", folder, &e))?;
    for entry in listed {
        let path = entry.map_err(|e| CliError::file("list", folder, &e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let name = format!("{prefix}/{name}");
        if path.is_dir() {
            gather(&path, &name, files)?;
        } else if !name.contains("/.") {
            let bytes = fs::read(&path).map_err(|e| CliError::file("read", &path, &e))?;
            files.insert(name, bytes);
        }
    }
    Ok(())
}

#[cfg(unix)]
fn executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if file.extension().is_some_and(|ext| ext == "sh") {
        fs::set_permissions(file, fs::Permissions::from_mode(0o755))
            .map_err(|e| CliError::file("set the permissions of", file, &e))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn executable(_: &Path) -> Result<()> {
    Ok(())
}
