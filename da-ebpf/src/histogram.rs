//! Adds samples to histograms in map values.

use da_ebpf_common::histogram::{Histogram, bucket};

/// Adds a sample.
///
/// # Safety
/// `histogram` is part of a map value, and the caller its only writer.
#[inline(always)]
pub unsafe fn add(histogram: *mut Histogram, sample_ns: u64) {
    // SAFETY: the caller's promise; `bucket` is below the number of buckets.
    unsafe {
        (*histogram).sum_ns += sample_ns;
        (*histogram).buckets[bucket(sample_ns)] += 1;
    }
}
