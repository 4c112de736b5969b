//! The TLS record headers of one send before the handshake is done: RFC 8446 §5.1.

use da_ebpf_common::{
    MAX_FIRST_BYTES,
    tls::{RECORD_HEADER_BYTES, is_alert13, is_finished},
};

use crate::send_buffer::{self, Flight, MAX_FLIGHT_RECORDS, Scratch};

/// Content type of a record: RFC 8446 §5.1.
const APPLICATION_DATA: u8 = 0x17;

/// Reads the headers of the first records of the payload into `scratch.flight`.
///
/// # Safety
/// `scratch` is this CPU's, from `send_buffer::scratch`.
#[inline(always)]
pub unsafe fn read(scratch: *mut Scratch, captured: u32) {
    // SAFETY: the caller's promise.
    unsafe { (&raw mut (*scratch).flight).write(Flight::NONE) };
    for _ in 0..MAX_FLIGHT_RECORDS {
        if read_record_header(captured) == 0 {
            break;
        }
    }
}

/// Reads the header of the next record of the flight; 0 where there is none.
///
/// A function with a symbol of its own is verified once, and what it finds goes back through memory: there the
/// verifier forgets how it came about, where values in registers would have it follow every combination of
/// records to the end.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn read_record_header(captured: u32) -> u32 {
    let Some(scratch) = send_buffer::scratch() else { return 0 };
    // SAFETY: `scratch` is this run's alone: its program has called this. The masks keep every index inside its
    // array.
    unsafe {
        let flight = &raw mut (*scratch).flight;
        let payload = &raw const (*scratch).payload;
        let (at, count) = ((*flight).end, (*flight).count);
        if at >= MAX_FIRST_BYTES as u32 || at + RECORD_HEADER_BYTES >= captured {
            return 0;
        }
        let byte = |ahead: u32| (*payload)[(at + ahead) as usize & (MAX_FIRST_BYTES - 1)];
        let record_bytes = RECORD_HEADER_BYTES + u32::from(u16::from_be_bytes([byte(3), byte(4)]));
        let (kind, end) = (byte(0), at + record_bytes);
        let index = count as usize & (MAX_FLIGHT_RECORDS - 1);
        (*flight).types[index] = kind;
        (*flight).firsts[index] = byte(RECORD_HEADER_BYTES);
        (*flight).ends[index] = end;
        ((*flight).count, (*flight).end) = (count + 1, end);
        if (*flight).finished_end != 0 && (*flight).finished_end == at {
            (*flight).request_record_end = end;
        }
        if kind == APPLICATION_DATA {
            (*flight).has_application_data = 1;
            if is_alert13(record_bytes) {
                (*flight).has_alert = 1;
            }
            if (*flight).finished_end == 0 && is_finished(record_bytes) {
                (*flight).finished_end = end;
            }
        }
    }
    1
}
