//! What the process may do before and after the programs are attached.

use caps::{CapSet, Capability};

use super::status::{Reason, Unavailable};

/// What loading and attaching takes (Linux 5.8 and later): maps and programs; raw tracepoints and
/// reading kernel memory.
const NEEDED: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// Checks that the programs can be loaded.
///
/// # Errors
/// Names the capabilities that are missing and how to grant them.
pub fn check() -> Result<(), Unavailable> {
    let effective = caps::read(None, CapSet::Effective).map_err(|error| {
        Unavailable::new(Reason::MissingCapability, format!("can't read capabilities: {error}"))
    })?;
    if effective.contains(&Capability::CAP_SYS_ADMIN) {
        return Ok(()); // includes both, as it did before Linux 5.8
    }
    let missing: Vec<_> = NEEDED.iter().filter(|needed| !effective.contains(needed)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(ToString::to_string).collect();
    Err(Unavailable::new(
        Reason::MissingCapability,
        format!(
            "missing {}: start as root, or once run \
             `setcap cap_bpf,cap_perfmon+ep` on the da-server binary",
            names.join(" and ")
        ),
    ))
}

/// Gives up every capability for good, and with `no_new_privs` the way back.
///
/// Capabilities belong to a thread: call this while the process has one. What stays is what needs
/// none: open listeners, maps and links are file descriptors (5.19 and later let them be used).
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
