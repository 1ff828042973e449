//! A plan's own templates: tried before the launch, kept in its folder, used at its end.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use tminus_checklist::{
    Course, DocumentModel, FontSource, Limits, OwnTemplate, ReadBack, SampleOf, Template, for_customers,
    read_back, render, sample,
};
use tminus_packages::LEFT_OUT;
use tminus_plan::{ArtifactDigest, Plan};

use crate::console::Console;
use crate::error::{CliError, Kind, Result, from_part};
use crate::layout::{Layout, write_whole};
use crate::session::PlanText;
use crate::wall::{SystemWall, Wall as _};

/// A link for feedback is as long.
const LINK_CHARS: usize = 220;

/// Who reads a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// Those who carry the launch out, and security.
    Internal,
    Customer,
}

impl Edition {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Customer => "customer",
        }
    }

    /// The artifact that it is typeset with, as the plan says.
    fn template(self, model: &DocumentModel) -> Option<&str> {
        let spec = &model.data.checklist;
        match self {
            Self::Internal => spec.template.as_deref(),
            Self::Customer => spec.customer_template.as_deref(),
        }
    }

    fn set_with(self, model: &mut DocumentModel, own: OwnTemplate) {
        match self {
            Self::Internal => model.set_with(own),
            // What is attached to that edition is what customers need, and nothing of the house.
            Self::Customer => model.template = Template::Own(own),
        }
    }

    /// The document for these readers; `full` is everything.
    ///
    /// # Errors
    /// No code holds the link for feedback.
    pub fn of(self, full: DocumentModel) -> Result<DocumentModel> {
        match self {
            Self::Internal => Ok(DocumentModel {
                on_paper: crate::feedback_link::internal(&full.data)?,
                ..full
            }),
            Self::Customer => {
                let shown = for_customers(&full.data, LEFT_OUT);
                Ok(DocumentModel {
                    // Envelopes hold what is left out.
                    attachments: full
                        .attachments
                        .into_iter()
                        .filter(|attached| attached.name == "record/checkpoint")
                        .collect(),
                    on_paper: crate::feedback_link::customer(&shown)?,
                    language: shown.checklist.customer_language,
                    template: Template::Shipped,
                    data: shown,
                })
            }
        }
    }
}

/// Template artifacts by their names.
pub type Templates = BTreeMap<String, Vec<u8>>;

/// The plan's own templates, from where its artifacts lie.
///
/// # Errors
/// A path has an unknown variable, or a file cannot be read.
pub fn read(plan: &Plan, variables: &BTreeMap<String, String>) -> Result<Templates> {
    let mut templates = Templates::new();
    for name in plan.checklist.templates() {
        let Some(artifact) = plan.artifacts.iter().find(|artifact| artifact.name == name) else {
            continue;
        };
        let path = plan.resolve_artifact(artifact, variables).map_err(|e| {
            CliError::new(Kind::Plan, e.to_string()).hint("give the variable a value with --var NAME=VALUE")
        })?;
        let bytes = std::fs::read(&path).map_err(|e| {
            CliError::file(&format!("read the template `{name}`"), Path::new(&path), &e)
                .hint(format!("the plan names it in line {}", artifact.line))
        })?;
        templates.insert(name.to_owned(), bytes);
    }
    Ok(templates)
}

/// Before a launch begins or goes on: its templates are read, tried where it begins, and kept in its folder.
///
/// # Errors
/// One cannot be read or kept, or does not do: better said now than in two days.
pub fn ready(begins: bool, plan: &PlanText, digests: &[ArtifactDigest], with: &Readying<'_>) -> Result<()> {
    let templates = read(&plan.plan, with.variables)?;
    if templates.is_empty() {
        return Ok(());
    }
    if begins {
        with.console.now("trying the plan's templates");
        let spec = &plan.plan.checklist;
        let trial = Trial {
            plan,
            digests,
            templates: &templates,
            internal: spec.template.as_deref(),
            customer: spec.customer_template.as_deref(),
            fonts: with.fonts,
        };
        let with_own = EDITIONS
            .into_iter()
            .filter(|(edition, _)| trial.template(*edition).is_some());
        for (edition, course) in with_own {
            let tried = trial.document(edition, course)?;
            if let Some(first) = tried.read.findings.first() {
                let pictures = pictures(&tried.read, &with.layout.state())?;
                return Err(CliError::new(
                    Kind::Plan,
                    format!(
                        "the plan's template leaves a sample document ({}) unreadable in {} places; {first}{pictures}",
                        edition.name(),
                        tried.read.findings_total
                    ),
                )
                .hint(format!("`tminus checklist try {}` shows all of them", plan.file)));
            }
        }
        with.console
            .line(&format!("templates: {} read back well", names(&templates)));
    }
    let folder = with.layout.templates();
    std::fs::create_dir_all(&folder).map_err(|e| CliError::file("create the folder", &folder, &e))?;
    for (name, bytes) in &templates {
        write_whole(&with.layout.template(name), bytes)?;
    }
    Ok(())
}

/// What [`ready`] works with.
#[derive(Debug)]
pub struct Readying<'a> {
    pub variables: &'a BTreeMap<String, String>,
    pub fonts: &'a FontSource,
    pub layout: &'a Layout,
    pub console: &'a Console,
}

fn names(templates: &Templates) -> String {
    templates
        .keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

fn pictures(read: &ReadBack, state: &Path) -> Result<String> {
    let folder = state.join("read-back");
    let written = read
        .write_pictures(&folder)
        .map_err(|e| from_part(Kind::Checklist, "the pictures of what differs", &e))?;
    Ok(match written.len() {
        0 => String::new(),
        count => format!("; {count} pictures are in {}", folder.display()),
    })
}

/// All that are tried.
pub const EDITIONS: [(Edition, Course); 4] = [
    (Edition::Internal, Course::Smooth),
    (Edition::Internal, Course::Rough),
    (Edition::Customer, Course::Smooth),
    (Edition::Customer, Course::Rough),
];

/// Sample documents of a plan, with its templates.
#[derive(Debug)]
pub struct Trial<'a> {
    pub plan: &'a PlanText,
    /// Of all artifacts.
    pub digests: &'a [ArtifactDigest],
    pub templates: &'a Templates,
    /// The template of each edition, which is then in `digests` and `templates`.
    pub internal: Option<&'a str>,
    pub customer: Option<&'a str>,
    pub fonts: &'a FontSource,
}

/// A sample document, and what reading it back found.
#[derive(Debug)]
pub struct Tried {
    pub pdf: Vec<u8>,
    pub read: ReadBack,
}

impl Trial<'_> {
    pub const fn template(&self, edition: Edition) -> Option<&str> {
        match edition {
            Edition::Internal => self.internal,
            Edition::Customer => self.customer,
        }
    }

    /// # Errors
    /// It cannot be typeset; what does not read well is in the answer.
    pub fn document(&self, edition: Edition, course: Course) -> Result<Tried> {
        let told = |e: tminus_checklist::ChecklistError| {
            from_part(
                Kind::Plan,
                &format!("a sample document ({}, {})", edition.name(), course_name(course)),
                &e,
            )
            .hint("a template begins best as a copy of `tminus checklist template`")
        };
        let feedback = self.plan.plan.feedback.as_ref();
        let of = SampleOf {
            plan_yaml: &self.plan.yaml,
            plan_file: &self.plan.file,
            artifacts: self.digests.to_vec(),
            started_at_ms: SystemWall.now_ms(),
            feedback_url: feedback.map(|f| format!("{}/feedback/{}", f.url, "s".repeat(LINK_CHARS))),
        };
        let full = sample(&of, course).map_err(told)?;
        let mut model = edition.of(full)?;
        if let Some(name) = self.template(edition) {
            let bytes = self.templates.get(name).cloned().unwrap_or_default();
            let own = OwnTemplate::new(name, bytes, &model.data.artifacts).map_err(told)?;
            edition.set_with(&mut model, own);
        }
        let pdf = render(&model, self.fonts).map_err(told)?;
        let read = read_back(&pdf, &model, self.fonts, &Limits::default()).map_err(told)?;
        Ok(Tried { pdf, read })
    }
}

pub const fn course_name(course: Course) -> &'static str {
    match course {
        Course::Smooth => "smooth",
        Course::Rough => "rough",
    }
}

/// The digest of an artifact that a sample does not read.
pub fn made_up(name: &str) -> ArtifactDigest {
    digest(name, name.as_bytes())
}

pub fn digest(name: &str, bytes: &[u8]) -> ArtifactDigest {
    ArtifactDigest {
        name: name.to_owned(),
        sha256: hex::encode(Sha256::digest(bytes)),
    }
}

/// The plan's template of this edition, as it was kept when the launch began.
///
/// # Errors
/// It is not there any more, or not the one on record.
pub fn kept(edition: Edition, model: &DocumentModel, layout: &Layout) -> Result<Option<OwnTemplate>> {
    let Some(name) = edition.template(model) else {
        return Ok(None);
    };
    let file = layout.template(name);
    let bytes = std::fs::read(&file).map_err(|e| CliError::file("read the template", &file, &e))?;
    OwnTemplate::new(name, bytes, &model.data.artifacts)
        .map(Some)
        .map_err(|e| from_part(Kind::Checklist, &file.display().to_string(), &e))
}

/// The PDF of this edition, read back. A template of the plan that does not do costs the look and never the document: it
/// is then set with the release's own, says so, and `told` hears why.
///
/// # Errors
/// The document cannot be made with the release's own template either.
pub fn typeset(
    edition: Edition,
    mut model: DocumentModel,
    fonts: &FontSource,
    layout: &Layout,
    told: &dyn Fn(&str),
) -> Result<(DocumentModel, Vec<u8>)> {
    let set = |model: &DocumentModel| {
        let pdf = render(model, fonts).map_err(|e| {
            from_part(
                Kind::Checklist,
                &format!("the checklist ({})", edition.name()),
                &e,
            )
            .hint("the record is whole: mend the cause, then --resume")
        })?;
        crate::commands::read_back(&pdf, model, fonts, layout)?;
        Ok(pdf)
    };
    let Some(name) = edition.template(&model).map(str::to_owned) else {
        let pdf = set(&model)?;
        return Ok((model, pdf));
    };
    let with_own = kept(edition, &model, layout).and_then(|own| {
        let mut model = model.clone();
        if let Some(own) = own {
            edition.set_with(&mut model, own);
        }
        let pdf = set(&model)?;
        Ok((model, pdf))
    });
    with_own.or_else(|why| {
        told(&format!(
            "the template `{name}` did not do, so the checklist ({}) is set with the release's own and says so: {why}",
            edition.name()
        ));
        model.template = Template::InsteadOf(name);
        let pdf = set(&model)?;
        Ok((model, pdf))
    })
}
