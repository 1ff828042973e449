//! A time series of bounded length for the report of a run.

/// The most points that a series keeps.
pub const POINTS_MAX: usize = 600;

/// How two neighbouring points become one when a series grows too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    Mean,
    Max,
}

/// (seconds since the start, value). When full, neighbours are merged and the step doubles.
#[derive(Clone, Debug)]
pub struct Series {
    merge: Merge,
    /// How many pushed values make one point.
    per_point: u32,
    open: (u32, f64, f64),
    points: Vec<(f64, f64)>,
}

impl Series {
    pub fn new(merge: Merge) -> Self {
        Self {
            merge,
            per_point: 1,
            open: (0, 0.0, 0.0),
            points: Vec::new(),
        }
    }

    pub fn push(&mut self, at_s: f64, value: f64) {
        let (count, first_s, merged) = self.open;
        self.open = match (count, self.merge) {
            (0, _) => (1, at_s, value),
            (n, Merge::Mean) => (n + 1, first_s, merged + (value - merged) / f64::from(n + 1)),
            (n, Merge::Max) => (n + 1, first_s, merged.max(value)),
        };
        if self.open.0 < self.per_point {
            return;
        }
        self.points.push((self.open.1, self.open.2));
        self.open.0 = 0;
        if self.points.len() >= POINTS_MAX {
            self.halve();
        }
    }

    fn halve(&mut self) {
        let merge = self.merge;
        self.points = self
            .points
            .chunks(2)
            .map(|pair| match (pair, merge) {
                ([a, b], Merge::Mean) => (a.0, (a.1 + b.1) / 2.0),
                ([a, b], Merge::Max) => (a.0, a.1.max(b.1)),
                _ => pair[0],
            })
            .collect();
        self.per_point *= 2;
    }

    /// The points so far, including the one that is still being filled.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let mut points = self.points.clone();
        if self.open.0 > 0 {
            points.push((self.open.1, self.open.2));
        }
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_stays_bounded_and_keeps_its_peak() {
        let mut peak = Series::new(Merge::Max);
        let mut mean = Series::new(Merge::Mean);
        for i in 0..10_000 {
            peak.push(f64::from(i), if i == 7777 { 99.0 } else { 1.0 });
            mean.push(f64::from(i), 4.0);
        }
        let points = peak.points();
        assert!(points.len() <= POINTS_MAX, "{}", points.len());
        assert!(points.is_sorted_by(|a, b| a.0 < b.0));
        let top = points.iter().find(|p| p.1 == 99.0).expect("the peak is kept");
        assert!((top.0 - 7777.0).abs() < 64.0);
        assert!(mean.points().iter().all(|p| (p.1 - 4.0).abs() < 1e-9));
    }
}
