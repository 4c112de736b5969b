//! What the kernel hands to a program that runs as an iterator: include/linux/bpf.h.

use core::ffi::c_void;

use aya_ebpf::{bindings::seq_file, helpers::generated::bpf_seq_write};

/// `struct bpf_iter_meta`, as far as it is needed.
#[repr(C)]
pub struct Meta {
    seq: *mut seq_file,
}

impl Meta {
    /// The file that da-server reads.
    pub fn file(&self) -> *mut seq_file {
        self.seq
    }
}

/// Puts an entry into the file; whether there was room in what da-server reads at a time. Where there
/// was none, the kernel comes back with the same object.
///
/// # Safety
/// `file` is the context's, and `T` has no padding.
#[inline(always)]
pub unsafe fn write<T>(file: *mut seq_file, entry: &T) -> bool {
    // SAFETY: the caller's promise; the helper copies that many bytes out of `entry`.
    unsafe { bpf_seq_write(file, (&raw const *entry).cast::<c_void>(), size_of::<T>() as u32) == 0 }
}
