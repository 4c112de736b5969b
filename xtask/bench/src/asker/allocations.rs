//! Counts the bytes of memory that this thread has in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Neither has a destructor, so that they can be used as long as there is memory to count.
    static IN_USE: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The system's allocator, counted.
struct Counting;

fn count(bytes: i64) {
    IN_USE.with(|in_use| {
        in_use.set(in_use.get() + bytes);
        PEAK.with(|peak| peak.set(peak.get().max(in_use.get())));
    });
}

// SAFETY: every call is handed on to the system's allocator as it is; counting allocates nothing and can't
// unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps to what the trait asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller keeps to what the trait asks for, and the memory is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps to what the trait asks for, and the memory is the system's.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

/// From here on; returns what is in use now.
pub fn start() -> i64 {
    let now = IN_USE.get();
    PEAK.set(now);
    now
}

/// How much more than that was in use at most.
pub fn peak_beyond(start: i64) -> i64 {
    PEAK.get() - start
}
