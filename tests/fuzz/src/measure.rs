//! What a piece of work costs, so that a target can bound it by the length of its input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts the bytes that each thread asks for.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(bytes: usize) {
    // A thread that ends allocates after its variables are gone.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + bytes as u64));
}

// SAFETY: the system's allocator does everything.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.saturating_sub(layout.size()));
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What may be used in all.
pub struct Bound {
    /// Bytes allocated, also those that were given back.
    pub bytes: u64,
    /// The same for each byte of the input.
    pub bytes_per_byte: u64,
}

/// The processor's time that any input may take, and that each of its bytes may add. Both are
/// many times what is usual: only what grows faster than its input exceeds them.
const TIME: Duration = Duration::from_millis(300);
const TIME_PER_BYTE: Duration = Duration::from_micros(20);

/// Does `work` with an input of `length` bytes, and panics if it costs more than `bound`.
pub fn bounded<T>(length: usize, bound: &Bound, work: impl FnOnce() -> T) -> T {
    let (bytes, time) = (ALLOCATED.get(), processor_time());
    let outcome = work();
    let (bytes, time) = (ALLOCATED.get() - bytes, processor_time() - time);
    let most = bound.bytes + bound.bytes_per_byte * length as u64;
    assert!(
        bytes <= most,
        "{length} bytes took {bytes} bytes of memory, more than {most}"
    );
    let most = TIME + TIME_PER_BYTE * u32::try_from(length).unwrap_or(u32::MAX);
    assert!(
        time <= most,
        "{length} bytes took {time:?}, more than {most:?}"
    );
    outcome
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), nanos)
}
