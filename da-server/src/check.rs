//! `da-server check`: what a server on this host would measure, as a table or as JSON.

use std::fmt::{self, Display, Formatter};

use crate::kernel::{Extent, Preflight, Verdict};

/// The exit code of a verdict.
pub fn exit_code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Exact => 0,
        Verdict::Degraded => 1,
        Verdict::NoKernelView => 2,
    }
}

/// The exit code where the configuration can't be used: nothing was found out then.
pub const NOT_CHECKED: u8 = 3;

/// Findings as a table.
pub struct Table<'a>(pub &'a Preflight);

impl Display for Table<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Preflight { verdict, why_not, host, programs, families } = self.0;
        writeln!(out, "HOST")?;
        for fact in host {
            let mark = if fact.ok { "ok" } else { "no" };
            writeln!(out, "  {:<32} {mark:<9} {}", fact.name, fact.detail)?;
        }
        writeln!(out, "\nPROGRAMS")?;
        for found in programs {
            let needed = match (found.takes_the_place_of, found.required) {
                (Some(other), _) => format!("in place of {other}"),
                (None, true) => "required".to_owned(),
                (None, false) => "optional".to_owned(),
            };
            let needs = format!("needs Linux {}", found.since);
            let (program, state, hook) = (found.program, found.state, &found.hook);
            writeln!(out, "  {program:<32} {state:<9} {hook}, {needed}, {needs}")?;
        }
        writeln!(out, "\nMETRICS")?;
        for found in families {
            let extent = match found.extent {
                Extent::Exact => "exact",
                Extent::Degraded => "degraded",
                Extent::Absent => "absent",
                Extent::Disabled => "disabled",
            };
            write!(out, "  {:<32} {extent}", found.family)?;
            for (how, programs) in [("without", &found.without), ("by", &found.substitutes)] {
                if !programs.is_empty() {
                    write!(out, " {how} {}", programs.join(", "))?;
                }
            }
            writeln!(out)?;
        }
        match (verdict, why_not) {
            (_, Some(why)) => write!(out, "\nThere is no kernel view: {why}"),
            (Verdict::Degraded, None) => {
                write!(out, "\nThere is a kernel view, but not all of it.")
            }
            (_, None) => write!(
                out,
                "\nEvery metric of the kernel view is exact, by the definitions in docs/KERNEL-VIEW.md."
            ),
        }
    }
}
