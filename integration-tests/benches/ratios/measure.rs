//! Two things in turns, batch by batch, so that whatever else the machine does falls on both.
use std::time::{Duration, Instant};

const BATCH: Duration = Duration::from_millis(8);
const ROUNDS: usize = 151;

/// How much longer one of two takes: the median of many rounds, and the quartiles around it.
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Runs both in turns; what takes long is repeated less often.
pub(crate) fn ratio(mut ours: impl FnMut(), mut by_hand: impl FnMut()) -> Ratio {
    let count = batch_size(&mut by_hand).min(batch_size(&mut ours));
    let rounds = if count == 1 { ROUNDS / 5 } else { ROUNDS };
    let mut ratios: Vec<f64> = (0..rounds)
        .map(|round| match round % 2 {
            0 => time(count, &mut ours) / time(count, &mut by_hand),
            _ => {
                let by_hand = time(count, &mut by_hand);
                time(count, &mut ours) / by_hand
            }
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    Ratio { median: ratios[rounds / 2], low: ratios[rounds / 4], high: ratios[rounds * 3 / 4] }
}

fn batch_size(work: &mut impl FnMut()) -> u32 {
    let (mut count, started) = (0, Instant::now());
    while started.elapsed() < BATCH * 8 {
        work();
        count += 1;
    }
    (count / 8).max(1)
}

fn time(count: u32, work: &mut impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..count {
        work();
    }
    started.elapsed().as_secs_f64()
}
