//! What an auditor runs, offline: file and record in, one line per claim out.
//!
//! Nothing that the document says is believed. The record must prove itself; the document must be the
//! one that the record's last entry names; what is attached must be what the record holds; and every
//! verdict is taken again from the evidence.

mod artifacts;
mod seals;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tminus_plan::{Fact, LaunchState};
use tminus_record::note::{self, Checkpoint};
use tminus_record::{Fault, Verified, VerifyingKey, merkle};
use tminus_seal::Roots;

use crate::ChecklistError;
use crate::claims::{false_claims, first_difference};
use crate::entries::{Entry, Signers, read_all, sha256_hex};
use crate::extract;
use crate::model::{self, Attachment, CHECKPOINT_FILE, DATA_FILE, FORMAT, GENERATOR};
use crate::render::data_bytes;
use crate::template::{TEMPLATE_FOLDER, template_file};
use crate::view::{ChecklistData, Overall, RecordView};

/// No checklist is larger: 65,536 entries of 64 KiB would be refused long before.
const MAX_PDF_BYTES: u64 = 512 * 1024 * 1024;
const NOT_OF_THIS_LAUNCH: &str = "is not of this launch";
/// Lines of the same sort; after that, a count.
const MAX_LINES: usize = 20;

/// What was checked, and how it came out.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// Every line is.
    pub ok: bool,
    pub lines: Vec<VerifyLine>,
    /// Verdict of the document, taken again from the record. None when the record proves nothing.
    pub verdict: Option<Overall>,
}

/// One claim.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyLine {
    /// The file, or the part of one, such as `out/checklist.pdf` or `out/record/tile/0/000.p/7`.
    pub part: String,
    pub ok: bool,
    /// What it proves, or what is wrong.
    pub says: String,
}

#[derive(Default)]
struct Lines(Vec<VerifyLine>);

impl Lines {
    fn good(&mut self, part: &str, says: impl Into<String>) {
        self.0.push(VerifyLine {
            part: part.to_owned(),
            ok: true,
            says: says.into(),
        });
    }

    fn bad(&mut self, part: &str, says: impl Into<String>) {
        self.0.push(VerifyLine {
            part: part.to_owned(),
            ok: false,
            says: says.into(),
        });
    }

    /// Each with its own part; the rest as a number.
    fn bad_each(&mut self, rest: &str, list: impl IntoIterator<Item = (String, String)>) {
        let list: Vec<_> = list.into_iter().collect();
        let more = list.len().saturating_sub(MAX_LINES);
        for (part, says) in list.into_iter().take(MAX_LINES) {
            self.bad(&part, says);
        }
        if more > 0 {
            self.bad(rest, format!("{more} more faults of this sort"));
        }
    }

    fn finish(self, verdict: Option<Overall>) -> VerifyReport {
        VerifyReport {
            ok: self.0.iter().all(|line| line.ok),
            lines: self.0,
            verdict,
        }
    }
}

/// [`verify_with`] for a reader who trusts no authority: whose seals they are, the report cannot say.
///
/// # Errors
/// As [`verify_with`].
pub fn verify(
    file: &Path,
    record_dir: &Path,
    trusted: Option<&VerifyingKey>,
) -> Result<VerifyReport, ChecklistError> {
    let reader = Reader {
        key: trusted.copied(),
        ..Reader::default()
    };
    verify_with(file, record_dir, &reader)
}

/// What the reader has, learned elsewhere than from the document and its record.
#[derive(Debug, Default)]
pub struct Reader {
    /// The launch's public key; without it the report says that the key is the record's own word.
    pub key: Option<VerifyingKey>,
    /// Certificates that are trusted to say whose a seal is.
    pub roots: Roots,
    /// Builds, each by the name that the launch has for it.
    pub artifacts: Vec<(String, PathBuf)>,
}

/// Checks a checklist against its record and what the reader has.
///
/// # Errors
/// Only when there is nothing to check: a file or the folder cannot be read. Whatever is wrong with
/// them is in the report.
pub fn verify_with(file: &Path, record_dir: &Path, reader: &Reader) -> Result<VerifyReport, ChecklistError> {
    let trusted = reader.key.as_ref();
    let builds = artifacts::digests(&reader.artifacts)?;
    let pdf = read_pdf(file)?;
    if !record_dir.is_dir() {
        return Err(ChecklistError::NoRecord {
            path: record_dir.to_owned(),
        });
    }
    let names = Names {
        file: file.display().to_string(),
        record: record_dir.display().to_string(),
    };
    let mut lines = Lines::default();

    let verified = match tminus_record::verify(record_dir, trusted) {
        Ok(verified) => verified,
        Err(faults) => {
            let faults = faults
                .into_iter()
                .map(|Fault { part, what }| match part.as_str() {
                    "record" => (names.record.clone(), what),
                    part => (names.record_part(part), what),
                });
            lines.bad_each(&names.record, faults);
            lines.bad(
                &names.file,
                "not compared: the record it must agree with is damaged",
            );
            return Ok(lines.finish(None));
        }
    };
    lines.good(
        &names.record,
        format!(
            "every byte of every file follows from the signed checkpoint: {} entries, root {}",
            verified.size,
            hex::encode(verified.root)
        ),
    );
    let key_id = verified.key.key_id();
    lines.good(
        &names.record_part("key.vkey"),
        match trusted {
            Some(_) => format!("the checkpoint is signed with the key that you trust, {key_id}"),
            None => format!(
                "the checkpoint is signed with key {key_id}; whose key that is, the record cannot prove: compare it with what the launch team published"
            ),
        },
    );
    let Some(verdict) = check_launch(&pdf, &verified, (&reader.roots, &builds), &names, &mut lines) else {
        return Ok(lines.finish(None));
    };
    Ok(lines.finish(Some(verdict)))
}

struct Names {
    file: String,
    record: String,
}

impl Names {
    fn record_part(&self, part: &str) -> String {
        format!("{}/{part}", self.record)
    }

    fn entry(&self, index: u64) -> String {
        format!("{} entry {index}", self.record)
    }

    fn attached(&self, name: &str) -> String {
        format!("{} attachment {name}", self.file)
    }
}

fn read_pdf(file: &Path) -> Result<Vec<u8>, ChecklistError> {
    let io = |action| {
        move |source| ChecklistError::Io {
            path: file.to_owned(),
            action,
            source,
        }
    };
    let opened = File::open(file).map_err(io("cannot open the checklist"))?;
    let bytes = opened
        .metadata()
        .map_err(io("cannot look at the checklist"))?
        .len();
    if bytes > MAX_PDF_BYTES {
        return Err(ChecklistError::TooLarge {
            path: file.to_owned(),
            bytes,
            max: MAX_PDF_BYTES,
        });
    }
    let mut pdf = Vec::new();
    opened
        .take(MAX_PDF_BYTES)
        .read_to_end(&mut pdf)
        .map_err(io("cannot read the checklist"))?;
    Ok(pdf)
}

/// Everything above the bytes of the record. None when the record tells no launch.
fn check_launch(
    pdf: &[u8],
    verified: &Verified,
    (roots, builds): (&Roots, &[artifacts::Found]),
    names: &Names,
    lines: &mut Lines,
) -> Option<Overall> {
    let entries = match read_all(&verified.entries) {
        Ok(entries) => entries,
        Err(e) => {
            lines.bad(&names.record, e.to_string());
            return None;
        }
    };
    let signers = match Signers::from_first(entries.first(), verified.key) {
        Ok(signers) => signers,
        Err(e) => {
            lines.bad(&names.record, e.to_string());
            return None;
        }
    };
    check_signatures(&entries, &signers, names, lines);
    let state = match LaunchState::fold(entries.iter().map(|e| (e.index, e.fact.clone()))) {
        Ok(state) => state,
        Err(e) => {
            lines.bad(&names.record, format!("the entries contradict each other: {e}"));
            return None;
        }
    };
    artifacts::check_subjects(&entries, &state.artifacts, names, lines);
    artifacts::check_files(builds, &state.artifacts, names, lines);
    check_seen_roots(&entries, verified, names, lines);

    // The issue of the document is the last entry; the document speaks of all before it.
    let (last, before) = entries.split_last()?;
    let Fact::ChecklistIssued { sha256, bytes, .. } = &last.fact else {
        lines.bad(
            &names.entry(last.index),
            "the record does not end with an issued checklist: the launch goes on, or went on after this document",
        );
        return None;
    };
    // Seals come behind the document that was issued; nothing else may.
    let issued = usize::try_from(*bytes).ok().and_then(|bytes| pdf.get(..bytes));
    let same = issued.is_some_and(|issued| sha256_hex(issued) == *sha256);
    let mut read = None;
    if same {
        let of_it = if pdf.len() as u64 == *bytes {
            "its SHA-256 is".to_owned()
        } else {
            format!("the SHA-256 of its first {bytes} bytes, which are the document as it was issued, is")
        };
        let says = format!(
            "{of_it} the one in the record's last entry ({}): {sha256}",
            last.index
        );
        lines.good(&names.file, says);
        read = seals::check(
            pdf,
            issued.map_or(0, <[u8]>::len),
            last.fact.at_ms(),
            roots,
            &names.file,
            lines,
        );
    } else {
        lines.bad(
            &names.file,
            format!(
                "was altered: {} bytes with SHA-256 {}; entry {} of the record issued {bytes} bytes with {sha256}",
                pdf.len(),
                sha256_hex(pdf),
                last.index
            ),
        );
    }
    // What was issued is what speaks; a file that is not what was issued is looked at whole, to say what was changed.
    let pdf = issued.filter(|_| same).unwrap_or(pdf);
    let record = RecordView {
        origin: verified.origin.clone(),
        size: before.len() as u64,
        root: hex::encode(merkle::root(&verified.leaves()[..before.len()])),
        key_id: verified.key.key_id(),
        verifier: note::verifier_line(&verified.origin, &verified.key),
    };
    let (data, expected) = match model::derive(before, &signers, record) {
        Ok(derived) => derived,
        Err(e) => {
            lines.bad(&names.record, e.to_string());
            return None;
        }
    };
    let attachments = match &read {
        Some(document) => extract::attachments_of(document),
        None => extract::attachments(pdf),
    };
    match attachments {
        Ok(attached) => {
            let intact = check_attachments(&attached, &expected, verified, names, lines);
            let intact = check_template(&attached, &data, names, lines) && intact;
            let intact = check_data(&attached, &data, names, lines) && intact;
            if intact && !same {
                lines.bad(
                    &names.file,
                    "its attachments are intact: the change is in its pages, fonts or structure",
                );
            }
        }
        Err(why) => lines.bad(&names.file, format!("its attachments cannot be read: {why}")),
    }
    Some(data.verdict)
}

fn check_signatures(entries: &[Entry], signers: &Signers, names: &Names, lines: &mut Lines) {
    let wrong: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            signers
                .check(entry)
                .err()
                .map(|e| (names.entry(entry.index), e.to_string()))
        })
        .collect();
    if wrong.is_empty() {
        let sign_offs = entries
            .iter()
            .filter(|e| matches!(e.fact, Fact::SignOff { .. } | Fact::Approval { .. }))
            .count();
        lines.good(
            &names.record,
            format!(
                "all {} entries are signed: {sign_offs} sign-offs and approvals by the key of their role, the others by the launch key",
                entries.len()
            ),
        );
    } else {
        lines.bad_each(&names.record, wrong);
    }
}

/// A sign-off or an approval names the root of the record that the signer saw: it must be this record's.
fn check_seen_roots(entries: &[Entry], verified: &Verified, names: &Names, lines: &mut Lines) {
    let leaves = verified.leaves();
    let mut wrong = Vec::new();
    let mut right = 0;
    for entry in entries {
        let (Fact::SignOff {
            role,
            record_root_hex,
            record_size,
            ..
        }
        | Fact::Approval {
            role,
            record_root_hex,
            record_size,
            ..
        }) = &entry.fact
        else {
            continue;
        };
        let seen = usize::try_from(*record_size)
            .ok()
            .and_then(|size| leaves.get(..size))
            .map(merkle::root);
        if seen.is_some_and(|root| hex::encode(root) == *record_root_hex) {
            right += 1;
        } else {
            let says = format!(
                "{role} signed a record of {record_size} entries with another root than this one had"
            );
            wrong.push((names.entry(entry.index), says));
        }
    }
    if wrong.is_empty() && right > 0 {
        let says = format!(
            "{right} sign-offs and approvals name the root that this record had when they were given"
        );
        lines.good(&names.record, says);
    }
    lines.bad_each(&names.record, wrong);
}

/// Whether all attachments but the data are as the record has them.
fn check_attachments(
    attached: &BTreeMap<String, Vec<u8>>,
    expected: &[Attachment],
    verified: &Verified,
    names: &Names,
    lines: &mut Lines,
) -> bool {
    let mut wrong = Vec::new();
    for Attachment {
        name,
        bytes,
        description,
        ..
    } in expected
    {
        match attached.get(name) {
            None => wrong.push((names.attached(name), format!("is missing ({description})"))),
            Some(found) if found != bytes => {
                wrong.push((
                    names.attached(name),
                    "was altered: it is not the record's entry".to_owned(),
                ));
            }
            Some(_) => {}
        }
    }
    for name in attached.keys() {
        // A template is looked at for itself.
        let known = [DATA_FILE, CHECKPOINT_FILE].contains(&name.as_str())
            || name.starts_with(TEMPLATE_FOLDER)
            || expected.iter().any(|a| a.name == *name);
        if !known {
            wrong.push((names.attached(name), NOT_OF_THIS_LAUNCH.to_owned()));
        }
    }
    let part = names.attached(CHECKPOINT_FILE);
    let checkpoint = check_checkpoint(attached.get(CHECKPOINT_FILE), verified, expected_size(verified));
    if wrong.is_empty() {
        let says = format!(
            "{} attached envelopes are, byte for byte, entries of the record",
            expected.len()
        );
        lines.good(&names.file, says);
    }
    let intact = wrong.is_empty() && checkpoint.is_ok();
    lines.bad_each(&names.file, wrong);
    match checkpoint {
        Ok(says) => lines.good(&part, says),
        Err(says) => lines.bad(&part, says),
    }
    intact
}

/// Whether what it was typeset with is of the release or, by its digest, of the launch.
fn check_template(
    attached: &BTreeMap<String, Vec<u8>>,
    data: &ChecklistData,
    names: &Names,
    lines: &mut Lines,
) -> bool {
    let found: Vec<_> = attached
        .iter()
        .filter(|(name, _)| name.starts_with(TEMPLATE_FOLDER))
        .collect();
    let Some(planned) = data.checklist.template.as_deref() else {
        let none = found
            .iter()
            .map(|(name, _)| (names.attached(name), NOT_OF_THIS_LAUNCH.to_owned()));
        lines.bad_each(&names.file, none);
        return found.is_empty();
    };
    let recorded = data.artifacts.iter().find(|artifact| artifact.name == planned);
    let mut intact = true;
    for (name, bytes) in &found {
        let part = names.attached(name);
        let sha256 = sha256_hex(bytes);
        if **name != template_file(planned) {
            lines.bad(&part, NOT_OF_THIS_LAUNCH);
        } else if recorded.is_some_and(|artifact| artifact.sha256 == sha256) {
            lines.good(
                &part,
                format!("is the launch's artifact `{planned}`, which the plan wants the document typeset with: {sha256}"),
            );
            continue;
        } else {
            lines.bad(
                &part,
                format!(
                    "was altered: its SHA-256 is {sha256}, not that of the launch's artifact `{planned}`"
                ),
            );
        }
        intact = false;
    }
    if found.is_empty() {
        lines.good(
            &names.file,
            format!("is typeset with the release's own template; the plan's, `{planned}`, did not do"),
        );
    }
    intact
}

/// Entries before the issue of the document.
fn expected_size(verified: &Verified) -> u64 {
    verified.size.saturating_sub(1)
}

fn check_checkpoint(bytes: Option<&Vec<u8>>, verified: &Verified, size: u64) -> Result<String, String> {
    let bytes = bytes.ok_or("is missing")?;
    let checkpoint = Checkpoint::open(bytes, &verified.key).map_err(|e| format!("was altered: {e}"))?;
    if checkpoint.origin != verified.origin || checkpoint.size != size {
        return Err(format!(
            "is of {} with {} entries, not of this record with {size}",
            checkpoint.origin, checkpoint.size
        ));
    }
    let proof = merkle::consistency_proof(&verified.leaves(), size).unwrap_or_default();
    merkle::verify_consistency(size, verified.size, &proof, &checkpoint.root, &verified.root)
        .map_err(|e| format!("this record does not continue the one in the document: {e}"))?;
    Ok(format!(
        "the record continues, unchanged, the {size} entries that the document was made from"
    ))
}

/// Whether what the document says is what the record proves.
fn check_data(
    attached: &BTreeMap<String, Vec<u8>>,
    derived: &ChecklistData,
    names: &Names,
    lines: &mut Lines,
) -> bool {
    let part = names.attached(DATA_FILE);
    let Some(bytes) = attached.get(DATA_FILE) else {
        lines.bad(&part, "is missing: the document does not say what it claims");
        return false;
    };
    let Ok(claimed) = serde_json::from_slice::<ChecklistData>(bytes) else {
        lines.bad(&part, "was altered: it does not read as the data of a checklist");
        return false;
    };
    if claimed.format != FORMAT {
        lines.bad(
            &part,
            format!(
                "has the format {:?}; this release reads {FORMAT:?}",
                claimed.format
            ),
        );
        return false;
    }
    let wrong = false_claims(&claimed, derived);
    let totals = &derived.totals;
    if wrong.is_empty() {
        lines.good(
            &part,
            format!(
                "all {} items judged again from the evidence alone, and the document agrees: {} ticked, {} crossed, {} not checked",
                totals.items, totals.ticked, totals.crossed, totals.not_checked
            ),
        );
    } else {
        lines.bad_each(&part, wrong.into_iter().map(|says| (part.clone(), says)));
        return false;
    }
    if claimed.generator != GENERATOR {
        let says = format!(
            "its wording was not compared: it was written by {}, this is {GENERATOR}",
            claimed.generator
        );
        lines.good(&part, says);
        return true;
    }
    if data_bytes(derived).is_ok_and(|again| again == *bytes) {
        lines.good(&part, "every figure and every word in it follows from the record");
        return true;
    }
    let (claimed, derived) = (serde_json::to_value(&claimed), serde_json::to_value(derived));
    let place = match (claimed, derived) {
        (Ok(claimed), Ok(derived)) => first_difference("", &claimed, &derived),
        _ => None,
    };
    let says = match place {
        Some((place, claimed, derived)) => format!("{place} says {claimed}, the record gives {derived}"),
        None => "is not in the form that this release writes".to_owned(),
    };
    lines.bad(&part, says);
    false
}
