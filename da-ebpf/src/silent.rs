//! How many connections are followed on which this side has not sent anything yet.

use aya_ebpf::{Global, macros::map, maps::Array};
use da_ebpf_common::silent::{ADOPTS, FOLLOWED, REMOVED, WORDS, followed};

use crate::atomic::add_word;

/// Records that silent connections may take; da-server sets it.
#[unsafe(no_mangle)]
static MOST_SILENT: Global<u32> = Global::new(0);

/// See [`da_ebpf_common::silent`].
#[map]
static SILENT: Array<u64> = Array::with_max_entries(WORDS, 0);

#[inline(always)]
fn word(index: u32) -> u64 {
    let Some(word) = SILENT.get_ptr(index) else { return 0 };
    // SAFETY: the pointer is to one of the array's values; the word is written whole.
    unsafe { word.read_volatile() }
}

/// Whether there is no room for one more.
#[inline(always)]
pub fn is_full() -> bool {
    followed(word(FOLLOWED), word(REMOVED)) >= u64::from(MOST_SILENT.load())
}

/// One more is followed.
#[inline(always)]
pub fn begins() {
    add(1);
}

/// One that was followed has sent something, or is over.
#[inline(always)]
pub fn ends() {
    add(u64::MAX);
}

#[inline(always)]
fn add(amount: u64) {
    if let Some(word) = SILENT.get_ptr_mut(FOLLOWED) {
        // SAFETY: the word is one of the array's values.
        unsafe { add_word(word, amount) };
    }
}

/// From now on there are connections that are not followed and whose first send is looked for.
#[inline(always)]
pub fn adopt_from_now_on() {
    if let Some(word) = SILENT.get_ptr_mut(ADOPTS) {
        // SAFETY: the word is one of the array's values, and written whole.
        unsafe { word.write_volatile(1) };
    }
}

/// Whether there may be connections whose first send is to be looked for.
#[inline(always)]
pub fn adopts() -> bool {
    word(ADOPTS) != 0
}
