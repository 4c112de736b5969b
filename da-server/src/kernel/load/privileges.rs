//! What the process may do before and after the programs are attached.

use std::os::unix::fs::MetadataExt;
use std::{fs, io, mem, thread};

use caps::{CapSet, Capability};

use super::status::{Reason, Unavailable};

/// What loading and attaching takes (Linux 5.8 and later): maps and programs; raw tracepoints and
/// reading kernel memory.
const NEEDED: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// Checks that the programs can be loaded, and puts into effect what that takes.
///
/// A binary may carry its capabilities as permitted only (`setcap …=p`). The kernel then starts it
/// also where they can't be had, as in a container without them, and the game plays on; marked
/// effective (`+ep`) it would be refused there with EPERM before its first line.
///
/// # Errors
/// Names the capabilities that are missing and how to grant them.
pub fn check() -> Result<(), Unavailable> {
    check_user_namespace(fs::metadata("/proc/self/ns/user").ok().map(|file| file.ino()))?;
    let unusable = |error: caps::errors::CapsError| {
        let why = format!("can't use capabilities: {error}");
        Unavailable::new(Reason::MissingCapability, why)
    };
    for needed in NEEDED {
        if caps::has_cap(None, CapSet::Permitted, needed).map_err(unusable)? {
            caps::raise(None, CapSet::Effective, needed).map_err(unusable)?;
        }
    }
    let effective = caps::read(None, CapSet::Effective).map_err(unusable)?;
    let missing: Vec<_> = NEEDED.iter().filter(|needed| !effective.contains(needed)).collect();
    // CAP_SYS_ADMIN includes both, as it did before Linux 5.8.
    if missing.is_empty() || effective.contains(&Capability::CAP_SYS_ADMIN) {
        return check_calls(look_nowhere_up());
    }
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    Err(Unavailable::new(
        Reason::MissingCapability,
        format!(
            "missing {}: start as root, or once run \
             `setcap cap_bpf,cap_perfmon+ep` on the da-server binary; a container needs them added",
            names.join(" and ")
        ),
    ))
}

/// bpf(2) asks for capabilities in the initial user namespace. In any other one a process may have all of
/// them, and they are worth nothing to it. `inode` is that of its own, if it can be told.
fn check_user_namespace(inode: Option<u64>) -> Result<(), Unavailable> {
    /// `USER_NS_INIT_INO`, include/uapi/linux/nsfs.h; it was the same before it stood there.
    const INITIAL: u64 = 0xEFFF_FFFD;
    match inode {
        None | Some(INITIAL) => Ok(()),
        Some(_) => Err(Unavailable::new(
            Reason::MissingCapability,
            "this process is in a user namespace of its own (a rootless container, userns-remap, \
             unshare), where no capability lets it load BPF programs: run it in the host's user \
             namespace, in Docker by `--userns=host`, in Podman as root",
        )),
    }
}

/// With its capabilities in effect the kernel lets this process call bpf(2), as an errno tells that is
/// about the map; so where it is not let, something in front of the kernel's own check forbids it.
fn check_calls(errno: Option<i32>) -> Result<(), Unavailable> {
    match errno {
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Err(Unavailable::new(
            Reason::Refused,
            "bpf(2) is forbidden to this process, whatever its capabilities: by a seccomp profile, as \
             older container engines have it, or by a security module",
        )),
        _ => Ok(()),
    }
}

/// Checks that maps can be used once every privilege is gone.
///
/// Before Linux 5.19 a kernel on which `unprivileged_bpf_disabled` is not 0 refuses every bpf(2) call
/// of a process without CAP_BPF. Kernels of some distributions are newer than their number says, so
/// it is tried. Capabilities are a thread's own: a thread of its own gives them up for the trial.
///
/// # Errors
/// They can't be used, and the sentence says what to do; or there is no telling.
pub fn check_maps_outlive() -> Result<(), Unavailable> {
    let trial = || drop_all().map(|()| look_nowhere_up());
    let errno = thread::scope(|scope| scope.spawn(trial).join());
    let untold = |why: String| Unavailable::new(Reason::Refused, why);
    let errno = errno.map_err(|_| untold("the trial of privileges panicked".to_owned()))?;
    answer(errno.map_err(|error| untold(error.to_string()))?)
}

/// What the kernel says, as an errno, to looking something up in a map that there is not. A kernel
/// that refuses all calls does so first.
fn look_nowhere_up() -> Option<i32> {
    /// `BPF_MAP_LOOKUP_ELEM`, include/uapi/linux/bpf.h.
    const LOOKUP: libc::c_long = 1;
    // `union bpf_attr` of that command: `map_fd` is -1, then padding, key, value, flags.
    let mut command = [u64::from(u32::MAX), 0, 0, 0];
    // SAFETY: the kernel reads no more of `command` than its size, which it is told, and as there is
    // no such map neither the key nor the value that it points to.
    let failed = unsafe {
        libc::syscall(libc::SYS_bpf, LOOKUP, command.as_mut_ptr(), mem::size_of_val(&command))
    };
    if failed == 0 { None } else { io::Error::last_os_error().raw_os_error() }
}

fn answer(errno: Option<i32>) -> Result<(), Unavailable> {
    match errno {
        Some(libc::EPERM) => Err(Unavailable::new(
            Reason::UnsupportedKernel,
            "this kernel lets no process without privileges use its maps: use Linux 5.19 or later, \
             or set the sysctl kernel.unprivileged_bpf_disabled to 0",
        )),
        _ => Ok(()),
    }
}

/// Gives up every capability for good, and with `no_new_privs` the way back.
///
/// Capabilities belong to a thread: call this while the process has one. What stays is what needs
/// none: open listeners, maps and links are file descriptors; see [`check_maps_outlive`].
///
/// # Errors
/// The sentence says which step the kernel refused.
pub fn drop_all() -> Result<(), DropError> {
    let step = |what| move |error: caps::errors::CapsError| DropError(what, error.to_string());
    caps::clear(None, CapSet::Ambient).map_err(step("clear ambient capabilities"))?;
    // Only a process with CAP_SETPCAP may shrink the bounding set; for any other one
    // `no_new_privs` below makes the set meaningless.
    let may_shrink = caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP);
    if may_shrink.map_err(step("read effective capabilities"))? {
        caps::clear(None, CapSet::Bounding).map_err(step("clear bounding capabilities"))?;
    }
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(step("clear capabilities"))?;
    }
    // SAFETY: PR_SET_NO_NEW_PRIVS takes integers only and touches no memory of this process.
    let failed = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if failed != 0 {
        return Err(DropError("set no_new_privs", std::io::Error::last_os_error().to_string()));
    }
    Ok(())
}

/// A step of [`drop_all`] that failed, and why.
#[derive(Debug, thiserror::Error)]
#[error("can't {0}: {1}")]
pub struct DropError(&'static str, String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_takes_nothing_away_from_who_asks() {
        let read = || [CapSet::Effective, CapSet::Permitted].map(|set| caps::read(None, set).ok());
        // SAFETY: PR_GET_NO_NEW_PRIVS takes integers only and touches no memory of this process.
        let no_new_privileges = || unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) };
        let before = (read(), no_new_privileges());
        // Where these tests run, anything may come of it.
        let _ = check_maps_outlive();
        assert_eq!((read(), no_new_privileges()), before);
    }

    #[test]
    fn a_user_namespace_of_its_own_is_told() {
        assert!(check_user_namespace(Some(4_026_531_837)).is_ok(), "the initial one");
        assert!(check_user_namespace(None).is_ok(), "a kernel without user namespaces");
        let why = check_user_namespace(Some(4_026_532_000)).expect_err("another one");
        assert_eq!(why.reason, Reason::MissingCapability);
    }

    #[test]
    fn a_call_that_is_forbidden_is_told_from_one_that_fails() {
        for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS] {
            let why = check_calls(Some(errno)).expect_err("forbidden");
            assert_eq!(why.reason, Reason::Refused);
            assert!(why.detail.contains("seccomp"), "{why}");
        }
        assert!(check_calls(Some(libc::EBADF)).is_ok());
    }

    #[test]
    fn a_refusal_at_the_door_is_told_from_a_map_that_is_not_there() {
        let why = answer(Some(libc::EPERM)).expect_err("refused");
        assert_eq!(why.reason, Reason::UnsupportedKernel);
        assert!(why.detail.contains("kernel.unprivileged_bpf_disabled"), "{why}");
        assert!(answer(Some(libc::EBADF)).is_ok());
    }
}
