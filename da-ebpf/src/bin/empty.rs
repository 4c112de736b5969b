//! A BPF program that does nothing: what `cargo xtask bench` holds the run time of the others
//! against. An object of its own, so that it is not part of what da-server carries.

#![no_std]
#![no_main]

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};

/// da-bench attaches it to the hook of each program in turn; the tracepoint is given there.
#[raw_tracepoint]
fn empty(_ctx: RawTracePointContext) -> i32 {
    0
}

/// As for the programs it stands beside.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic.
    loop {}
}
