//! Figures with their units and limits.

use std::fmt::Write as _;

/// What a figure has to be.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    None,
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug)]
struct Figure {
    key: &'static str,
    value: f64,
    unit: &'static str,
    limit: Limit,
}

#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
    notes: Vec<String>,
}

impl Report {
    pub fn add(&mut self, key: &'static str, value: f64, unit: &'static str, limit: Limit) {
        eprintln!("  {key} = {value:.3} {unit}");
        self.figures.push(Figure {
            key,
            value,
            unit,
            limit,
        });
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn holds(&self) -> bool {
        self.figures.iter().all(Figure::holds)
    }

    pub fn to_json(&self) -> String {
        let mut all = serde_json::Map::new();
        for figure in &self.figures {
            all.insert(figure.key.to_owned(), figure.value.into());
        }
        let missed: Vec<&str> = self
            .figures
            .iter()
            .filter(|figure| !figure.holds())
            .map(|figure| figure.key)
            .collect();
        all.insert("missed".to_owned(), missed.into());
        all.insert("notes".to_owned(), self.notes.clone().into());
        serde_json::Value::Object(all).to_string()
    }

    pub fn to_table(&self) -> String {
        let mut text = String::new();
        for figure in &self.figures {
            let (sign, limit) = match figure.limit {
                Limit::None => ("   ", String::new()),
                Limit::AtMost(limit) => (figure.sign(), format!("at most {limit}")),
                Limit::AtLeast(limit) => (figure.sign(), format!("at least {limit}")),
            };
            let _ = writeln!(
                text,
                "{sign} {:<34} {:>14.3} {:<10} {limit}",
                figure.key, figure.value, figure.unit
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "    {note}");
        }
        text
    }
}

impl Figure {
    fn holds(&self) -> bool {
        match self.limit {
            Limit::None => true,
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
        }
    }

    fn sign(&self) -> &'static str {
        if self.holds() { "ok " } else { "NO " }
    }
}

/// The quantile of latencies, by nearest rank; 0 of nothing.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Sorts latencies, so that [`quantile`] can be asked.
pub fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
