//! A launch that never happened: facts with invented measurements, signed and recorded for real.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tminus_checklist::{ByHand, DocumentModel, FontSource, OnPaper, render};
use tminus_plan::{ArtifactDigest, Evidence, Fact, Measurement, Plan, RolloutVerdict, Subject, to_statement};
use tminus_record::dsse::{Envelope, IN_TOTO};
use tminus_record::{Record, SigningKey, VerifyingKey};

pub const START_MS: u64 = 1_795_356_000_000;
pub const PLAN: &str = include_str!("plan.yaml");

/// Everything ran and was signed.
pub fn whole_launch() -> Launch {
    let mut launch = Launch::start(PLAN, "plans/test.yaml");
    launch.run_whole();
    launch
}

/// As many items as asked for, all three kinds in turn; of every seventh nothing ran.
pub fn long_launch(items: u32) -> Launch {
    let (head, list) = PLAN.split_once("items:").unwrap();
    let kinds: Vec<&str> = list.split("\n  - id: ").skip(1).collect();
    let mut plan = format!("{head}items:");
    for number in 1..=items {
        let at = (number as usize - 1) % kinds.len();
        let kind = kinds[at];
        let (id, _) = kind.split_once('\n').unwrap();
        let kind = kind.replacen(id, &format!("{id}-{number}"), 1);
        plan.push_str("\n  - id: ");
        plan.push_str(&kind.replacen(&format!("number: {}", at + 1), &format!("number: {number}"), 1));
    }
    let mut launch = Launch::start(&plan, "plans/long.yaml");
    for item in launch.plan.items.clone() {
        if item.number % 7 != 0 {
            let measured = [("move_p50_ms", f64::from(item.number) + 0.25, "ms")];
            launch.gate(&item.id, &item.gates[0].id, &measured);
            for role in &item.sign_offs {
                launch.sign_off(&item.id, role);
            }
        }
    }
    launch.finish();
    launch
}

pub struct Launch {
    pub dir: tempfile::TempDir,
    pub record: Record,
    pub plan: Plan,
    key: SigningKey,
    roles: BTreeMap<String, SigningKey>,
    now_ms: u64,
    /// What the entries say that they are about.
    pub subject: Vec<Subject>,
    pub rollout_reasons: Vec<String>,
    /// What the launch's end puts on record.
    pub feedback_url: Option<String>,
}

/// As long as a real one.
pub const LINK: &str = "https://launch.example.org/feedback/f1.k1.eyJsIjoiMjAyNjExMjItMTQwMDAwLTNmOWEiLCJzIjpbIuWOi-a1iyBsb2FkIiwi5Y-R5biDIHJlbGVhc2UiLCLlm57mu5ogcm9sbGJhY2siLCLmo4Dmn6XljZUgY2hlY2tsaXN0Il0sInQiOjE3OTUzNTYwMDAwMDB9.47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";

/// Everything ran, and those who were there are asked.
pub fn asking_launch() -> Launch {
    let asks = "items:";
    let plan = PLAN.replacen(
        asks,
        &format!("feedback: {{ url: \"https://launch.example.org\" }}\n{asks}"),
        1,
    );
    let mut launch = Launch::start(&plan, "plans/test.yaml");
    launch.feedback_url = Some(LINK.to_owned());
    launch.run_whole();
    launch
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

impl Launch {
    pub fn start(plan_yaml: &str, plan_file: &str) -> Self {
        Self::start_with(plan_yaml, plan_file, &[("starvault", b"starvault")])
    }

    pub fn start_with(plan_yaml: &str, plan_file: &str, artifacts: &[(&str, &[u8])]) -> Self {
        let plan = Plan::parse(plan_yaml, plan_file).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed([7; 32]);
        let record =
            Record::create(&dir.path().join("record"), "starvault/2026-11-22T14:00:00Z", &key).unwrap();
        let names = plan.roles().into_iter().map(str::to_owned).enumerate();
        let roles: BTreeMap<_, _> = names
            .map(|(n, role)| (role, SigningKey::from_seed([20 + n as u8; 32])))
            .collect();
        let mut launch = Self {
            dir,
            record,
            plan,
            key,
            roles,
            now_ms: START_MS,
            subject: artifacts
                .iter()
                .map(|(name, bytes)| Subject::sha256(name, &sha256(bytes)))
                .collect(),
            rollout_reasons: Vec::new(),
            feedback_url: None,
        };
        launch.fact(&Fact::LaunchStarted {
            launch_id: "20261122-140000-starvault-v1.3".to_owned(),
            at_ms: START_MS,
            plan_sha256: sha256(plan_yaml.as_bytes()),
            plan_yaml: plan_yaml.to_owned(),
            plan_file: plan_file.to_owned(),
            plan_commit: Some("4fd1c0a9e8b7d6c5f4e3d2c1b0a99887766554433"[..40].to_owned()),
            rehearsal: true,
            clock_scale: 720.0,
            artifacts: artifacts
                .iter()
                .map(|(name, bytes)| ArtifactDigest {
                    name: (*name).to_owned(),
                    sha256: sha256(bytes),
                })
                .collect(),
            role_keys: launch
                .roles
                .iter()
                .map(|(r, k)| (r.clone(), k.verifying_key().to_base64()))
                .collect(),
        });
        launch
    }

    pub fn run_whole(&mut self) {
        self.gate(
            "load-test",
            "players",
            &[("move_p99_ms", 61.4, "ms"), ("move_p50_ms", 12.25, "ms")],
        );
        self.sign_off("load-test", "qa");
        self.gate("routes", "no-token", &[]);
        self.gate("canary", "rollout", &[]);
        self.sign_off("canary", "qa");
        self.finish();
    }

    pub fn key(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    pub fn later(&mut self, ms: u64) -> u64 {
        self.now_ms += ms;
        self.now_ms
    }

    pub fn fact_signed_by(&mut self, fact: &Fact, key: &SigningKey) -> u64 {
        let envelope = Envelope::sign(IN_TOTO, to_statement(fact, &self.subject).unwrap(), key);
        self.record.append(&[envelope.to_bytes()]).unwrap().start
    }

    pub fn fact(&mut self, fact: &Fact) -> u64 {
        let key = self.key.clone();
        self.fact_signed_by(fact, &key)
    }

    /// Runs a gate that measures what its expectations name, at just the number they name, unless
    /// `other` says otherwise.
    pub fn gate(&mut self, item: &str, gate: &str, other: &[(&str, f64, &str)]) -> u64 {
        let planned = self.plan.gate(item, gate).unwrap().clone();
        let kind = planned.kind.name().to_owned();
        let at_ms = self.later(1_000);
        self.fact(&Fact::GateStarted {
            item: item.to_owned(),
            gate: gate.to_owned(),
            attempt: 1,
            at_ms,
        });
        let mut measurements: BTreeMap<String, Measurement> = planned
            .expectations()
            .into_iter()
            .map(|e| {
                (
                    e.measurement.clone(),
                    Measurement::new(e.number, unit(&e.measurement)),
                )
            })
            .collect();
        measurements.extend(
            other
                .iter()
                .map(|(name, value, unit)| ((*name).to_owned(), Measurement::new(*value, unit))),
        );
        let mut series = BTreeMap::new();
        if kind == "load" {
            let latency = |i: u32| 40.0 + 12.0 * (f64::from(i) / 9.0).sin() + f64::from(i * 7919 % 13);
            series.insert(
                "move_p99_ms".to_owned(),
                (0..300).map(|i| (f64::from(i) / 10.0, latency(i))).collect(),
            );
            series.insert(
                "moves_per_s".to_owned(),
                (0..300)
                    .map(|i| (f64::from(i) / 10.0, f64::from((i * 6).min(400))))
                    .collect(),
            );
        }
        if kind == "canary" {
            for (step, weight) in [0, 5, 30, 70, 100].into_iter().enumerate() {
                let at_ms = self.later(12_000);
                let verdict = if step == 0 {
                    RolloutVerdict::Started
                } else {
                    RolloutVerdict::NotWorse
                };
                let reason = format!(
                    "errors: 0 of {} on canary, 1 of 4120 on stable; slow: 2 of {}; not worse (e = 0.31 < 200)",
                    40 + step * 310,
                    40 + step * 310
                );
                self.rollout_reasons.push(reason.clone());
                let (item, gate) = (item.to_owned(), gate.to_owned());
                if weight == 70 {
                    self.approve(&item, &gate, "past-half", "qa");
                }
                self.fact(&Fact::RolloutStep {
                    item,
                    gate,
                    at_ms,
                    weight_percent: weight,
                    reason,
                    verdict,
                });
            }
            series.insert(
                "canary_p99_ms".to_owned(),
                (0..60)
                    .map(|i| (f64::from(i), 60.0 + f64::from(i * 31 % 17)))
                    .collect(),
            );
            series.insert(
                "stable_p99_ms".to_owned(),
                (0..60)
                    .map(|i| (f64::from(i), 58.0 + f64::from(i * 17 % 11)))
                    .collect(),
            );
        }
        let ended_at_ms = self.later(30_000);
        let evidence = Evidence {
            item: item.to_owned(),
            gate: gate.to_owned(),
            kind,
            attempt: 1,
            started_at_ms: at_ms,
            ended_at_ms,
            target: "http://127.0.0.1:41873".to_owned(),
            command: ["tminus", "gate", gate, "--seed", "1"]
                .map(str::to_owned)
                .to_vec(),
            inputs: BTreeMap::from([
                ("players".to_owned(), "400".to_owned()),
                ("seed".to_owned(), "1".to_owned()),
            ]),
            measurements,
            notes: vec!["every figure counts from the scheduled time of the move".to_owned()],
            series,
        };
        self.fact(&Fact::Evidence(evidence))
    }

    pub fn sign_off(&mut self, item: &str, role: &str) -> u64 {
        let at_ms = self.later(2_000);
        let fact = Fact::SignOff {
            item: item.to_owned(),
            role: role.to_owned(),
            at_ms,
            statement: format!("I have seen the evidence of {item} and stand for it."),
            record_root_hex: hex::encode(self.record.root()),
            record_size: self.record.size(),
        };
        let key = self.roles[role].clone();
        self.fact_signed_by(&fact, &key)
    }

    fn approve(&mut self, item: &str, gate: &str, approval: &str, role: &str) -> u64 {
        let fact = self.approval(item, gate, approval, role);
        let key = self.roles[role].clone();
        self.fact_signed_by(&fact, &key)
    }

    /// An approval on the record as it is; not signed yet.
    pub fn approval(&mut self, item: &str, gate: &str, approval: &str, role: &str) -> Fact {
        Fact::Approval {
            item: item.to_owned(),
            gate: gate.to_owned(),
            approval: approval.to_owned(),
            role: role.to_owned(),
            at_ms: self.later(2_000),
            statement: format!("Watched {item} at 30 % for an hour."),
            record_root_hex: hex::encode(self.record.root()),
            record_size: self.record.size(),
        }
    }

    pub fn finish(&mut self) {
        let facts = self.record.entries().iter().enumerate().map(|(index, entry)| {
            let envelope = Envelope::from_bytes(entry).unwrap();
            (
                index as u64,
                tminus_plan::from_statement(&envelope.payload).unwrap().0,
            )
        });
        let totals = tminus_plan::LaunchState::fold(facts.collect::<Vec<_>>())
            .unwrap()
            .totals();
        let at_ms = self.later(1_000);
        let (ticked, crossed, not_checked) = (totals.ticked, totals.crossed, totals.not_checked);
        self.fact(&Fact::LaunchFinished {
            at_ms,
            ticked,
            crossed,
            not_checked,
            feedback_url: self.feedback_url.clone(),
        });
    }

    pub fn model(&self) -> DocumentModel {
        DocumentModel::of_record(&self.record).unwrap()
    }

    /// The model of the edition that is filled in: the link's code, if there is one, and the page by hand.
    pub fn model_on_paper(&self) -> DocumentModel {
        let mut model = self.model();
        let link = model.data.feedback.as_ref();
        model.on_paper = OnPaper {
            feedback_code: link.map(|link| tminus_after::feedback::qr_rows(&link.url).unwrap()),
            by_hand: Some(ByHand {
                template: tminus_after::paper::TEMPLATE.to_owned(),
                table: tminus_after::paper::Layout::of_a_checklist().table(),
            }),
        };
        model
    }

    pub fn pdf(&self) -> PathBuf {
        self.dir.path().join("checklist.pdf")
    }

    pub fn record_dir(&self) -> &Path {
        self.record.dir()
    }

    /// Typesets this model and puts its digest on record, whatever the model says.
    pub fn issue(&mut self, model: &DocumentModel, fonts: &FontSource) {
        let pdf = render(model, fonts).unwrap();
        std::fs::write(self.pdf(), &pdf).unwrap();
        let at_ms = self.later(500);
        let (sha256, bytes) = (sha256(&pdf), pdf.len() as u64);
        self.fact(&Fact::ChecklistIssued {
            at_ms,
            file_name: "checklist.pdf".to_owned(),
            sha256,
            bytes,
        });
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
