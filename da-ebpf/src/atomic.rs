//! Words that several CPUs write at the same time.

use core::arch::asm;

/// Adds to such a word. `core` has no such operation for BPF.
///
/// # Safety
/// The word is aligned and part of a map's value.
#[inline(always)]
pub unsafe fn add_word(word: *mut u64, amount: u64) {
    // SAFETY: one atomic instruction on the word that the caller vouches for.
    unsafe {
        asm!("lock *(u64 *)({word} + 0) += {amount}", word = in(reg) word, amount = in(reg) amount)
    };
}
