//! Histograms counted in the kernel, in the very buckets that are exported: no count is off by the
//! width of a bucket.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;
const S: u64 = 1_000 * MS;

/// Upper edges, ns, inclusive: 1-2.5-5 steps from 10 µs to 100 s and between them every edge of the
/// application's histograms. The last one takes what is beyond.
pub const EDGES_NS: [u64; BUCKETS] = [
    10 * US,
    25 * US,
    50 * US,
    100 * US,
    250 * US,
    500 * US,
    MS,
    2_500 * US,
    5 * MS,
    10 * MS,
    20 * MS,
    25 * MS,
    40 * MS,
    50 * MS,
    60 * MS,
    80 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    750 * MS,
    S,
    2 * S,
    2_500 * MS,
    5 * S,
    7_500 * MS,
    10 * S,
    25 * S,
    30 * S,
    50 * S,
    60 * S,
    100 * S,
    u64::MAX,
];

/// Buckets; a power of two, so that a search takes the same few steps for any sample.
pub const BUCKETS: usize = 32;

/// Samples of one measurement.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Histogram {
    /// Sum of all samples, ns.
    pub sum_ns: u64,
    /// Samples per bucket: above the edge before, up to the bucket's own.
    pub buckets: [u32; BUCKETS],
}

const _: () = assert!(size_of::<Histogram>() == 136);

impl Histogram {
    /// Without samples.
    pub const EMPTY: Self = Self { sum_ns: 0, buckets: [0; BUCKETS] };

    /// The samples that have come since it was as `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = *self;
        later.sum_ns = self.sum_ns.wrapping_sub(earlier.sum_ns);
        for (bucket, counted) in later.buckets.iter_mut().zip(earlier.buckets) {
            *bucket = bucket.wrapping_sub(counted);
        }
        later
    }
}

/// Samples of one exchange, beyond those that its other events carry; the header's kind tells of what.
/// Goes before the [`crate::exchange::Exchange`].
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Samples {
    /// Begins every event.
    pub header: Header,
    /// The samples.
    pub histogram: Histogram,
}

const _: () = assert!(size_of::<Samples>() == 24 + 136);

/// The bucket a sample falls into, below [`BUCKETS`].
#[inline(always)]
pub fn bucket(sample_ns: u64) -> usize {
    let mut index = 0;
    let mut step = BUCKETS / 2;
    while step > 0 {
        index += step * usize::from(sample_ns > EDGES_NS[(index + step - 1) & (BUCKETS - 1)]);
        step /= 2;
    }
    // The mask changes nothing, but the verifier can follow it.
    index & (BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_is_the_difference() {
        let mut all = Histogram::EMPTY;
        (all.sum_ns, all.buckets[3], all.buckets[31]) = (70, 2, u32::MAX);
        let earlier = all;
        (all.sum_ns, all.buckets[3], all.buckets[31]) = (100, 3, 0);
        let later = all.since(&earlier);
        assert_eq!((later.sum_ns, later.buckets[3], later.buckets[31]), (30, 1, 1));
        assert_eq!(later.buckets.iter().sum::<u32>(), 2);
    }

    #[test]
    fn a_sample_falls_into_the_first_bucket_whose_edge_it_does_not_exceed() {
        let samples = EDGES_NS.iter().flat_map(|edge| [edge - 1, *edge, edge.saturating_add(1)]);
        for sample_ns in samples.chain([0]) {
            let expected = EDGES_NS.iter().position(|edge| sample_ns <= *edge);
            assert_eq!(Some(bucket(sample_ns)), expected, "{sample_ns}");
        }
    }
}
