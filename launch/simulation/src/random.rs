//! Numbers from a seed (xoshiro256++, seeded by SplitMix64).

#[derive(Clone, Debug)]
pub struct Random([u64; 4]);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    pub fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let answer = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        answer
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn chance(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// How many arrive when so many are expected.
    pub fn poisson(&mut self, mut mean: f64) -> u32 {
        const AT_ONCE: f64 = 20.0;
        let mut count = 0;
        while mean > 0.0 {
            // A sum of independent ones; the product of uniforms stays in range.
            let least = (-mean.min(AT_ONCE)).exp();
            let mut product = self.unit();
            while product > least {
                count += 1;
                product *= self.unit();
            }
            mean -= AT_ONCE;
        }
        count
    }
}

/// Draws a position with given weights in constant time (Walker's alias method).
#[derive(Clone, Debug)]
pub struct Weighted(Vec<(u32, u32)>);

impl Weighted {
    /// Weights are not negative, and not all 0.
    #[must_use]
    pub fn new(weights: &[f64]) -> Self {
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        let mut left: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut table: Vec<(u32, u32)> = (0..weights.len()).map(|at| (u32::MAX, at as u32)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|at| left[*at] < 1.0);
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            table[poor] = ((left[poor] * f64::from(u32::MAX)) as u32, rich as u32);
            left[rich] -= 1.0 - left[poor];
            if left[rich] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self(table)
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        let number = random.next();
        let at = (((number >> 32) * self.0.len() as u64) >> 32) as usize;
        let (keep, other) = self.0[at];
        if (number as u32) <= keep {
            at
        } else {
            other as usize
        }
    }
}
