//! Pairs with known verdicts, and how many of ours are the same.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use tminus_contract::{Date, Files, Level, Limits, Profile, Settings, Spec, compare};

type Said = BTreeSet<(Level, String)>;

#[derive(Debug)]
struct Pair {
    id: String,
    strict: bool,
    breaking: bool,
    expected: Said,
    /// What we say, or why nothing.
    ours: Result<Said, String>,
}

impl Pair {
    fn is_breaking_to_us(&self) -> bool {
        self.ours
            .as_ref()
            .is_ok_and(|said| said.iter().any(|(level, _)| *level == Level::Error))
    }
}

#[derive(Debug)]
pub struct Score {
    pairs: Vec<Pair>,
}

struct Folder<'a>(&'a Path);

impl Files for Folder<'_> {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        std::fs::read(self.0.join(name)).map_err(|error| error.to_string())
    }
}

pub fn score(dir: &Path, today: &str) -> anyhow::Result<Score> {
    let table = dir.join("pairs.tsv");
    let text = std::fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
    let mut settings = Settings::new(Date::parse(today)?);
    settings.profile = Profile::Oasdiff;
    let mut pairs = Vec::new();
    for line in text.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [id, base, revision, breaking, errors, warnings, infos, strict, ..] = cells[..] else {
            anyhow::bail!("{}: a line with {} cells: {line}", table.display(), cells.len());
        };
        let mut expected = Said::new();
        for (level, rules) in [
            (Level::Error, errors),
            (Level::Warning, warnings),
            (Level::Info, infos),
        ] {
            expected.extend(rules.split_whitespace().map(|rule| (level, rule.to_owned())));
        }
        pairs.push(Pair {
            id: id.to_owned(),
            strict: strict == "yes",
            breaking: breaking == "yes",
            expected,
            ours: said(dir, base, revision, &settings),
        });
    }
    anyhow::ensure!(!pairs.is_empty(), "{} holds no pairs", table.display());
    Ok(Score { pairs })
}

fn said(dir: &Path, base: &str, revision: &str, settings: &Settings) -> Result<Said, String> {
    let files = Folder(dir);
    let load = |name: &str| Spec::load(name, &files, &Limits::default()).map_err(|error| error.to_string());
    let findings = compare(&load(base)?, &load(revision)?, settings).map_err(|error| error.to_string())?;
    Ok(findings
        .iter()
        .map(|finding| (finding.level, finding.rule.id.to_owned()))
        .collect())
}

impl Score {
    fn share(&self, of: impl Fn(&Pair) -> bool, holds: impl Fn(&Pair) -> bool) -> f64 {
        let all: Vec<&Pair> = self.pairs.iter().filter(|pair| of(pair)).collect();
        if all.is_empty() {
            return 0.0;
        }
        all.iter().filter(|pair| holds(pair)).count() as f64 / all.len() as f64
    }

    fn recall(&self) -> f64 {
        self.share(|pair| pair.strict && pair.breaking, Pair::is_breaking_to_us)
    }

    /// A pair that could not be compared is a false alarm too: somebody has to look at it.
    fn false_alarms(&self) -> f64 {
        self.share(
            |pair| pair.strict && !pair.breaking,
            |pair| pair.is_breaking_to_us() || pair.ours.is_err(),
        )
    }

    fn rule_agreement(&self) -> f64 {
        self.share(|_| true, |pair| pair.ours.as_ref() == Ok(&pair.expected))
    }

    fn rule_jaccard(&self) -> f64 {
        let one = |pair: &Pair| {
            let Ok(ours) = &pair.ours else {
                return 0.0;
            };
            let either = ours.union(&pair.expected).count();
            if either == 0 {
                1.0
            } else {
                ours.intersection(&pair.expected).count() as f64 / either as f64
            }
        };
        self.pairs.iter().map(one).sum::<f64>() / self.pairs.len() as f64
    }

    pub fn holds(&self) -> bool {
        self.recall() >= 0.98 && self.false_alarms() <= 0.05 && self.rule_agreement() >= 0.85
    }

    pub fn json(&self) -> serde_json::Value {
        let failed = self.pairs.iter().filter(|pair| pair.ours.is_err()).count();
        json!({
            "ok": self.holds(),
            "pairs": self.pairs.len(),
            "strict_pairs": self.pairs.iter().filter(|pair| pair.strict).count(),
            "not_compared": failed,
            "recall": self.recall(),
            "false_alarms": self.false_alarms(),
            "rule_agreement": self.rule_agreement(),
            "rule_jaccard": self.rule_jaccard(),
        })
    }

    pub fn print(&self, shown_max: usize) {
        let differing: Vec<&Pair> = self
            .pairs
            .iter()
            .filter(|pair| pair.ours.as_ref() != Ok(&pair.expected))
            .collect();
        for pair in differing.iter().take(shown_max) {
            match &pair.ours {
                Err(why) => println!("{}: not compared: {why}", pair.id),
                Ok(ours) => {
                    println!("{}:", pair.id);
                    for (level, rule) in pair.expected.difference(ours) {
                        println!("  missing  {level:<8}{rule}");
                    }
                    for (level, rule) in ours.difference(&pair.expected) {
                        println!("  too many {level:<8}{rule}");
                    }
                }
            }
        }
        if differing.len() > shown_max {
            println!("… and {} more (--all)", differing.len() - shown_max);
        }
        println!("pairs           {}", self.pairs.len());
        println!("recall          {:.4}", self.recall());
        println!("false_alarms    {:.4}", self.false_alarms());
        println!("rule_agreement  {:.4}", self.rule_agreement());
        println!("rule_jaccard    {:.4}", self.rule_jaccard());
    }
}
