//! When a test may run: beside others that watch other names, or alone on this machine.
//!
//! The programs see every process's connections, so two tests that talk under one name would count each
//! other's. Tests that compare times, or count what the whole host shares, are in `alone/`.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

thread_local! {
    /// Whether this thread's test has the machine to itself.
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, no other kernel test of this host runs.
pub struct Alone {
    _machine: File,
}

/// Waits for the other tests to finish.
pub fn alone() -> Alone {
    let machine = file("machine");
    machine.lock().expect("the machine to itself");
    IS_ALONE.set(true);
    Alone { _machine: machine }
}

/// The same, and this thread and those that it will start come before all others of the machine, so that
/// nothing keeps them waiting that has no part in what they measure.
pub fn undisturbed() -> Alone {
    let alone = alone();
    if let Err(error) = in_real_time(1) {
        println!("others may come before this test: no real-time scheduling ({error})");
    }
    alone
}

/// Has this thread come before all that are not scheduled in real time, and those of lower priority.
pub fn in_real_time(priority: libc::c_int) -> std::io::Result<()> {
    schedule(libc::SCHED_RR, priority)
}

/// Has this thread scheduled by `policy`.
fn schedule(policy: libc::c_int, priority: libc::c_int) -> std::io::Result<()> {
    let priority = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is to a value of the type that the call reads, alive for the call; 0 means the
    // thread that calls.
    let failed = unsafe { libc::sched_setscheduler(0, policy, &raw const priority) };
    if failed == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

impl Drop for Alone {
    fn drop(&mut self) {
        IS_ALONE.set(false);
        // The same thread may run the next test. Whoever may not raise it has nothing to lower.
        let _ = schedule(libc::SCHED_OTHER, 0);
    }
}

/// While it lives, no other test watches the same names, and none is alone.
pub struct Beside {
    _names: Vec<File>,
    _machine: Option<File>,
}

/// Waits for the other tests that watch one of `names`, and for those that are alone. At once where
/// this thread's test is alone itself.
pub fn beside<'a>(names: impl IntoIterator<Item = &'a str>) -> Beside {
    if IS_ALONE.get() {
        return Beside { _names: Vec::new(), _machine: None };
    }
    // In one order, so that no two tests wait for each other; each once.
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    let lock = |name: &str| {
        let name = file(name);
        name.lock().expect("the name to itself");
        name
    };
    let names = names.into_iter().map(lock).collect();
    let machine = file("machine");
    machine.lock_shared().expect("a part of the machine");
    Beside { _names: names, _machine: Some(machine) }
}

/// The file that stands for a name: whoever comes first makes it, and a lock needs no more than to read
/// it, so the tests of another user wait for these as well.
fn file(name: &str) -> File {
    let folder = std::env::temp_dir().join("digital-actors-kernel-tests");
    let path = folder.join(format!("{name}.lock"));
    let made = || {
        fs::create_dir_all(&folder)?;
        // Who is not its owner may not, and need not.
        let _ = fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777));
        File::options().write(true).create_new(true).open(&path).map(drop)
    };
    let file = File::open(&path).or_else(|_| made().and_then(|()| File::open(&path)));
    // Another test may have made it meanwhile.
    let file = file.or_else(|_| File::open(&path));
    file.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
