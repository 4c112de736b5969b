//! The BPF programs: tracepoints that follow every outbound TCP connection of the host
//! until `da-server` says that it is of no interest.
//!
//! A probe's file has the same name here, in da-ebpf-common and in da-server, and begins with its hook.
//!
//! * `table` holds the records, by socket; `request` is a record's way from one request to the next, `sizes`
//!   tells what a send or an arrival of a certain length can be.
//! * `fallback` has the hooks of older kernels, `leftover` looks for records whose end was missed, `silent`
//!   bounds the connections that have sent nothing, and `latecomer` takes up those that do so at last.
//! * `sock`, `segment`, `task`, `registers`, `layout` and `send_buffer` read the kernel and the sending process,
//!   `flight` and `records` the TLS records that are sent and read; `thread` is what is remembered of a thread
//!   during a system call, `run_queue` how long it waits for a CPU.
//! * `dns` tells the queries and answers of sockets that are not followed.
//! * `redaction` takes out of a request what is nobody's business; `event`, `iterator` and `meter` are the way out.

#![no_std]
#![no_main]
// `lock` instructions; aya-ebpf needs it for BPF as well.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod arrival;
mod atomic;
mod connection;
mod dns;
mod event;
mod exchange;
mod existing;
mod fallback;
mod flight;
mod histogram;
mod iterator;
mod latecomer;
mod layout;
mod leftover;
mod long_gap;
mod meter;
mod pickup;
mod records;
mod redaction;
mod registers;
mod request;
mod reset;
mod run_queue;
mod segment;
mod send_buffer;
mod silent;
mod sizes;
mod sock;
mod syscall;
mod table;
mod task;
mod thread;
mod tls;

/// Helpers such as `bpf_probe_read_kernel` are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing here can panic: the verifier refuses a program with a reachable endless loop.
    loop {}
}
