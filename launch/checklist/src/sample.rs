//! A launch that never was, of any plan: every sort of thing that a document shows, for looking at it before the launch
//! and for trying a template out. Pure; its keys are no secret, and its records are never written.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use tminus_plan::{
    ArtifactDigest, CanarySpec, Evidence, Expectation, Fact, Gate, GateKind, Item, LaunchState, Measurement,
    Plan, RolloutVerdict, Subject, to_statement,
};
use tminus_record::dsse::{Envelope, IN_TOTO};
use tminus_record::note::Checkpoint;
use tminus_record::{SigningKey, merkle};

use crate::{ChecklistError, DocumentModel};

const ORIGIN: &str = "sample";
/// How much faster than planned the rough course goes.
const ROUGH_SCALE: f64 = 900.0;
const HOUR_MS: f64 = 3_600_000.0;

/// How a sample launch goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// Everything runs, passes and is signed.
    Smooth,
    /// Checks fail, cannot run, do not end; nobody signs.
    Rough,
}

/// What a sample launch is of.
#[derive(Debug, Clone)]
pub struct SampleOf<'a> {
    pub plan_yaml: &'a str,
    pub plan_file: &'a str,
    /// As the launch would begin with.
    pub artifacts: Vec<ArtifactDigest>,
    pub started_at_ms: u64,
    pub feedback_url: Option<String>,
}

/// The document of a launch of this plan that never was, and says so.
///
/// # Errors
/// The plan does not read.
pub fn sample(of: &SampleOf<'_>, course: Course) -> Result<DocumentModel, ChecklistError> {
    let plan = Plan::parse(of.plan_yaml, of.plan_file).map_err(|e| ChecklistError::Entry {
        index: 0,
        why: e.to_string(),
    })?;
    let mut launch = Launch::begin(of, &plan, course)?;
    let mut gates = 0;
    for item in &plan.items {
        for gate in item.gates.iter().filter(|gate| !gate.kind.is_to_come()) {
            launch.gate(item, gate, gates)?;
            gates += 1;
        }
        if course == Course::Smooth {
            for role in &item.sign_offs {
                launch.sign_off(item, role)?;
            }
        }
    }
    let mut model = launch.end(of.feedback_url.clone())?;
    model.data.product = format!("样张 SAMPLE · {}", model.data.product);
    Ok(model)
}

struct Launch {
    course: Course,
    key: SigningKey,
    roles: BTreeMap<String, SigningKey>,
    started_at_ms: u64,
    scale: f64,
    subject: Vec<Subject>,
    facts: Vec<Fact>,
    entries: Vec<Vec<u8>>,
}

impl Launch {
    fn begin(of: &SampleOf<'_>, plan: &Plan, course: Course) -> Result<Self, ChecklistError> {
        let roles: BTreeMap<String, SigningKey> = plan
            .roles()
            .into_iter()
            .map(|role| {
                (
                    role.to_owned(),
                    SigningKey::from_seed(Sha256::digest(role).into()),
                )
            })
            .collect();
        let mut launch = Self {
            course,
            key: SigningKey::from_seed(Sha256::digest(ORIGIN).into()),
            started_at_ms: of.started_at_ms,
            scale: if course == Course::Smooth {
                1.0
            } else {
                ROUGH_SCALE
            },
            subject: of
                .artifacts
                .iter()
                .map(|a| Subject::sha256(&a.name, &a.sha256))
                .collect(),
            facts: Vec::new(),
            entries: Vec::new(),
            roles,
        };
        let role_keys = launch
            .roles
            .iter()
            .map(|(role, key)| (role.clone(), key.verifying_key().to_base64()))
            .collect();
        launch.fact(Fact::LaunchStarted {
            launch_id: "SAMPLE".to_owned(),
            at_ms: of.started_at_ms,
            plan_sha256: hex::encode(Sha256::digest(of.plan_yaml)),
            plan_yaml: of.plan_yaml.to_owned(),
            plan_file: of.plan_file.to_owned(),
            plan_commit: (course == Course::Smooth).then(|| "5a3b1e".repeat(7)[..40].to_owned()),
            rehearsal: true,
            clock_scale: launch.scale,
            artifacts: of.artifacts.clone(),
            role_keys,
        })?;
        Ok(launch)
    }

    fn fact(&mut self, fact: Fact) -> Result<(), ChecklistError> {
        let key = match &fact {
            Fact::SignOff { role, .. } | Fact::Approval { role, .. } => {
                self.roles.get(role).unwrap_or(&self.key)
            }
            _ => &self.key,
        };
        let statement = to_statement(&fact, &self.subject).map_err(|e| ChecklistError::Entry {
            index: self.entries.len() as u64,
            why: e.to_string(),
        })?;
        let envelope = Envelope::sign(IN_TOTO, statement, key);
        self.entries.push(envelope.to_bytes());
        self.facts.push(fact);
        Ok(())
    }

    fn at(&self, hours: f64) -> u64 {
        self.started_at_ms + (hours * HOUR_MS / self.scale) as u64
    }

    fn root(&self) -> merkle::Hash {
        let leaves: Vec<_> = self
            .entries
            .iter()
            .map(|entry| merkle::leaf_hash(entry))
            .collect();
        merkle::root(&leaves)
    }

    fn gate(&mut self, item: &Item, gate: &Gate, number: usize) -> Result<(), ChecklistError> {
        let hours = item.window.to_h - item.window.from_h;
        let at = |share: f64| item.window.from_h + share * hours;
        if self.course == Course::Smooth {
            self.start(item, gate, 1, at(0.1))?;
            return self.evidence(item, gate, 1, [at(0.1), at(0.7)]);
        }
        match number % 3 {
            // The end of the second attempt is late.
            0 => {
                self.start(item, gate, 1, at(0.1))?;
                self.could_not_run(item, gate, at(0.2))?;
                self.start(item, gate, 2, at(0.6))?;
                self.evidence(item, gate, 2, [at(0.6), at(1.3)])
            }
            1 => {
                self.start(item, gate, 1, at(0.3))?;
                self.could_not_run(item, gate, at(0.35))
            }
            _ => self.start(item, gate, 1, at(0.3)),
        }
    }

    fn start(&mut self, item: &Item, gate: &Gate, attempt: u32, hours: f64) -> Result<(), ChecklistError> {
        self.fact(Fact::GateStarted {
            item: item.id.clone(),
            gate: gate.id.clone(),
            attempt,
            at_ms: self.at(hours),
        })
    }

    fn could_not_run(&mut self, item: &Item, gate: &Gate, hours: f64) -> Result<(), ChecklistError> {
        self.fact(Fact::GateCouldNotRun {
            item: item.id.clone(),
            gate: gate.id.clone(),
            attempt: 1,
            at_ms: self.at(hours),
            why: "sample: connection refused by http://127.0.0.1:8080".to_owned(),
        })
    }

    fn evidence(
        &mut self,
        item: &Item,
        gate: &Gate,
        attempt: u32,
        [from_h, to_h]: [f64; 2],
    ) -> Result<(), ChecklistError> {
        let kind = gate.kind_for(true);
        let mut series = BTreeMap::new();
        if let GateKind::Canary(spec) = kind {
            self.rollout(item, gate, spec, [from_h, to_h])?;
        }
        if matches!(kind, GateKind::Canary(_) | GateKind::Load(_)) {
            let wave = |i: u32| 60.0 + 12.0 * (f64::from(i) / 9.0).sin() + f64::from(i * 7919 % 13);
            series.insert(
                "p99_ms".to_owned(),
                (0..300).map(|i| (f64::from(i), wave(i))).collect(),
            );
            series.insert(
                "requests_per_s".to_owned(),
                (0..300)
                    .map(|i| (f64::from(i), f64::from((i * 6).min(400))))
                    .collect(),
            );
        }
        let evidence = Evidence {
            item: item.id.clone(),
            gate: gate.id.clone(),
            kind: gate.kind.name().to_owned(),
            attempt,
            started_at_ms: self.at(from_h),
            ended_at_ms: self.at(to_h),
            target: "http://127.0.0.1:8080".to_owned(),
            command: ["tminus", "gate", &gate.id, "--sample"]
                .map(str::to_owned)
                .to_vec(),
            inputs: BTreeMap::from([
                ("players".to_owned(), "400".to_owned()),
                ("seed".to_owned(), "1".to_owned()),
            ]),
            measurements: self.measurements(&gate.expectations()),
            notes: vec!["样张：数字是编造的。sample: its figures are made up".to_owned()],
            series,
        };
        self.fact(Fact::Evidence(evidence))
    }

    /// What is expected, or just not; the rough course does not measure the last thing where there are two.
    fn measurements(&self, expected: &[Expectation]) -> BTreeMap<String, Measurement> {
        let smooth = self.course == Course::Smooth;
        let left_out = expected
            .len()
            .saturating_sub(usize::from(!smooth && expected.len() > 1));
        let mut measured = BTreeMap::new();
        for one in &expected[..left_out] {
            let of_it: Vec<&Expectation> = expected
                .iter()
                .filter(|other| other.measurement == one.measurement)
                .collect();
            let candidates = of_it
                .iter()
                .flat_map(|e| [e.number, e.number + 1.0, e.number - 1.0]);
            let mut fitting =
                candidates.filter(|value| of_it.iter().all(|e| e.op.holds(*value, e.number)) == smooth);
            measured.entry(one.measurement.clone()).or_insert_with(|| {
                Measurement::new(fitting.next().unwrap_or(one.number), unit(&one.measurement))
            });
        }
        measured.insert("sample_p50_ms".to_owned(), Measurement::new(12.25, "ms"));
        measured
    }

    /// All steps and their approvals; in the rough course the way up to the first traffic, and back.
    fn rollout(
        &mut self,
        item: &Item,
        gate: &Gate,
        spec: &CanarySpec,
        [from_h, to_h]: [f64; 2],
    ) -> Result<(), ChecklistError> {
        let smooth = self.course == Course::Smooth;
        let steps = if smooth {
            spec.steps.len()
        } else {
            spec.steps.len().min(2)
        };
        for (position, weight) in spec.steps.iter().take(steps).enumerate() {
            let hours = from_h + (to_h - from_h) * (position + 1) as f64 / (steps + 1) as f64;
            let approval = spec.at.get(weight).and_then(|step| step.approval.as_ref());
            if let (Some(approval), Some(role)) = (approval, item.sign_offs.first()) {
                self.fact(Fact::Approval {
                    item: item.id.clone(),
                    gate: gate.id.clone(),
                    approval: approval.clone(),
                    role: role.clone(),
                    at_ms: self.at(hours),
                    statement: "样张 sample: watched it for an hour".to_owned(),
                    record_root_hex: hex::encode(self.root()),
                    record_size: self.entries.len() as u64,
                })?;
            }
            let verdict = if position == 0 {
                RolloutVerdict::Started
            } else {
                RolloutVerdict::NotWorse
            };
            let reason = "sample: errors 0 of 350 on canary, 1 of 4120 on stable; not worse";
            self.step(item, gate, hours, *weight, verdict, reason)?;
        }
        if smooth {
            return Ok(());
        }
        let reason = "sample: errors 90 of 350 on canary, 1 of 4120 on stable; worse";
        self.step(item, gate, to_h, 0, RolloutVerdict::Worse, reason)
    }

    fn step(
        &mut self,
        item: &Item,
        gate: &Gate,
        hours: f64,
        weight_percent: u32,
        verdict: RolloutVerdict,
        reason: &str,
    ) -> Result<(), ChecklistError> {
        self.fact(Fact::RolloutStep {
            item: item.id.clone(),
            gate: gate.id.clone(),
            at_ms: self.at(hours),
            weight_percent,
            reason: reason.to_owned(),
            verdict,
        })
    }

    fn sign_off(&mut self, item: &Item, role: &str) -> Result<(), ChecklistError> {
        self.fact(Fact::SignOff {
            item: item.id.clone(),
            role: role.to_owned(),
            at_ms: self.at(item.window.to_h),
            statement: "样张 sample: I have seen the evidence and stand for it".to_owned(),
            record_root_hex: hex::encode(self.root()),
            record_size: self.entries.len() as u64,
        })
    }

    fn end(mut self, feedback_url: Option<String>) -> Result<DocumentModel, ChecklistError> {
        let facts = self.facts.iter().cloned().enumerate();
        let state = LaunchState::fold(facts.map(|(index, fact)| (index as u64, fact)))?;
        if self.course == Course::Smooth {
            let totals = state.totals();
            self.fact(Fact::LaunchFinished {
                at_ms: self.at(state.plan.ends_h()),
                ticked: totals.ticked,
                crossed: totals.crossed,
                not_checked: totals.not_checked,
                feedback_url,
            })?;
        }
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size: self.entries.len() as u64,
            root: self.root(),
        };
        let signed = checkpoint.sign(&self.key);
        DocumentModel::from_record(&self.entries, signed.as_bytes(), &self.key.verifying_key())
    }
}

fn unit(measurement: &str) -> &'static str {
    if measurement.ends_with("_ms") {
        "ms"
    } else if measurement.ends_with("_percent") {
        "percent"
    } else {
        "1"
    }
}
