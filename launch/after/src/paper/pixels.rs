//! Grey pixels made fit for measuring: smaller, without specks, read between pixels.

use image::GrayImage;

/// Rows of grey values, 0 black to 255 white.
#[derive(Debug, Clone)]
pub(crate) struct Pixels {
    pub(crate) width: usize,
    pub(crate) height: usize,
    values: Vec<u8>,
}

impl Pixels {
    pub(crate) fn of(image: &GrayImage) -> Self {
        Self {
            width: image.width() as usize,
            height: image.height() as usize,
            values: image.as_raw().clone(),
        }
    }

    pub(crate) fn at(&self, x: usize, y: usize) -> u8 {
        self.values[y * self.width + x]
    }

    /// The mean of each `by` x `by` pixels.
    pub(crate) fn smaller(&self, by: usize) -> Self {
        if by <= 1 {
            return self.clone();
        }
        let (width, height) = (self.width / by, self.height / by);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = 0;
                for row in y * by..(y + 1) * by {
                    let start = row * self.width + x * by;
                    sum += self.values[start..start + by]
                        .iter()
                        .map(|v| usize::from(*v))
                        .sum::<usize>();
                }
                values.push((sum / (by * by)) as u8);
            }
        }
        Self {
            width,
            height,
            values,
        }
    }

    /// The median of each 3 x 3 pixels: single specks are gone, edges stay.
    pub(crate) fn without_specks(&self) -> Self {
        let mut result = self.clone();
        for y in 1..self.height.saturating_sub(1) {
            for x in 1..self.width.saturating_sub(1) {
                let mut nine = [0; 9];
                for (row, part) in nine.chunks_exact_mut(3).enumerate() {
                    let start = (y + row - 1) * self.width + x - 1;
                    part.copy_from_slice(&self.values[start..start + 3]);
                }
                result.values[y * self.width + x] = median(nine);
            }
        }
        result
    }

    /// Between the pixels' centres; outside it is white.
    pub(crate) fn between(&self, x: f64, y: f64) -> f64 {
        let (x, y) = (x - 0.5, y - 0.5);
        if x < 0.0 || y < 0.0 || x >= (self.width - 1) as f64 || y >= (self.height - 1) as f64 {
            return 255.0;
        }
        let (left, top) = (x as usize, y as usize);
        let (right_share, low_share) = (x - left as f64, y - top as f64);
        let value = |dx: usize, dy: usize| f64::from(self.at(left + dx, top + dy));
        let above = value(0, 0) * (1.0 - right_share) + value(1, 0) * right_share;
        let below = value(0, 1) * (1.0 - right_share) + value(1, 1) * right_share;
        above * (1.0 - low_share) + below * low_share
    }

    /// The value that this share of the pixels is darker than.
    pub(crate) fn quantile(&self, share: f64) -> u8 {
        let mut counts = [0_usize; 256];
        for value in &self.values {
            counts[usize::from(*value)] += 1;
        }
        let below = (self.values.len() as f64 * share) as usize;
        let mut seen = 0;
        for (value, count) in counts.iter().enumerate() {
            seen += count;
            if seen > below {
                return value as u8;
            }
        }
        255
    }
}

/// A sorting network for the middle one of nine.
fn median(mut v: [u8; 9]) -> u8 {
    const PAIRS: [(usize, usize); 19] = [
        (1, 2),
        (4, 5),
        (7, 8),
        (0, 1),
        (3, 4),
        (6, 7),
        (1, 2),
        (4, 5),
        (7, 8),
        (0, 3),
        (5, 8),
        (4, 7),
        (3, 6),
        (1, 4),
        (2, 5),
        (4, 7),
        (4, 2),
        (6, 4),
        (4, 2),
    ];
    for (low, high) in PAIRS {
        let (a, b) = (v[low], v[high]);
        v[low] = a.min(b);
        v[high] = a.max(b);
    }
    v[4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_finds_the_middle_one() {
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..2_000 {
            let nine: [u8; 9] = std::array::from_fn(|_| random.u8(0..12));
            let mut sorted = nine;
            sorted.sort_unstable();
            assert_eq!(median(nine), sorted[4], "{nine:?}");
        }
    }
}
