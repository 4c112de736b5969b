//! Why the object can't be used, as a sentence for the operator.

use aya::EbpfError;

use super::layout::LayoutError;
use super::status::{Reason, Unavailable};

/// The object was built from other sources than this program.
pub(super) fn incomplete(what: &str, name: &str) -> Unavailable {
    Unavailable::new(
        Reason::NotBuilt,
        format!("the BPF object has no {what} {name}: rebuild with `cargo xtask build`"),
    )
}

/// The kernel said no. Of the verifier's log only the end is told, which says what it minded; the
/// whole is hundreds of lines.
pub(super) fn refused(step: &str, error: &(dyn std::error::Error + 'static)) -> Unavailable {
    let mut causes = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !causes.contains(&text) {
            causes = format!("{causes}: {text}");
        }
        source = cause.source();
    }
    let lines: Vec<_> = causes.lines().collect();
    let told = match lines.as_slice() {
        [first, .., minded, _, _, _] if lines.len() > 8 => format!("{first} … {minded}"),
        _ => lines.join(" "),
    };
    Unavailable::new(Reason::Refused, format!("the kernel refused to {step}: {told}"))
}

impl From<LayoutError> for Unavailable {
    fn from(error: LayoutError) -> Self {
        Self::new(Reason::UnsupportedKernel, error.to_string())
    }
}

impl From<EbpfError> for Unavailable {
    fn from(error: EbpfError) -> Self {
        refused("use the BPF object", &error)
    }
}
