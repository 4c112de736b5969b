//! Which test programs run, in which order, and which of them beside others.
//!
//! Most tests wait: for delays that they put in, for servers, for time-outs. So several programs run at
//! the same time, the longest first. Tests that hold a time against a bound, or count what the whole host
//! shares, are in modules called [`ALONE`]: they have the machine to themselves, one after the other, at the
//! end. In which order things happen is the same on a busy machine.

use super::programs::Program;

/// The module whose tests run one at a time, beside nothing else.
const ALONE: &str = "alone::";

/// The module whose test boots an older kernel in an emulator, which takes longest and so begins.
const GUEST: &str = "guest::";

/// The one program that has such modules.
const KERNEL: &str = "da-server kernel";

/// The one whose tests are the cases of the hostile suite.
pub const HOSTILE: &str = "da-server hostile";

/// So many of these cases run at once: most of them wait.
const HOSTILE_CASES_AT_ONCE: &str = "6";

/// Which of them run when all tests do: some of every kind, and none that takes seconds. All of them run when
/// they are asked for.
const QUICK_HOSTILE: &[&str] = &[
    "floods::connections::backlog",
    "floods::passwords::",
    "floods::players::too_many_sessions",
    "http::bodies::",
    "http::connections::shapes::",
    "http::headers::",
    "http::request_lines::",
    "lines::",
    "models::bodies::",
    "models::heads::closes_at_once::",
    "models::heads::length_",
    "models::streams::closes_within::",
    "processes::kill::idle",
    "processes::reloaded",
    "processes::term::",
    "stores::while_it_runs::deleted",
    "tls::",
    "voices::closes_within::",
    "voices::is_",
    "websocket::",
];

/// The one that has the random tests, which in CI take more than a minute.
const UNIT_TESTS: &str = "da-server";

/// So many kernel tests run at once: they wait, each on a name of its own.
const KERNEL_TESTS_AT_ONCE: &str = "6";

/// Programs that run at once.
pub const AT_ONCE: usize = 4;

/// The variable that has kernel tests use the hooks of kernels before 6.3.
const OLDER_HOOKS: &str = "DA_TEST_OLDER_HOOKS";

/// Of the kernel tests those that run a second time, with [`OLDER_HOOKS`]: every kind of count and of
/// time.
const WITH_OLDER_HOOKS: &[&str] = &[
    "accuracy::plain_keep_alive",
    "accuracy::tls13_keep_alive",
    "attribution::ipv6_and_v4_mapped_sockets",
    "edges::",
    "existing::behind_tls",
    "existing::in_the_clear",
    "gap_causes::every_long_gap_is_told_with_what_caused_it",
    "gap_causes::a_pause_in_an_answer_to_a_client_that_has_closed_its_half",
    "idle::",
    "lab::the_hooks_are_those_that_are_asked_for",
    "network::",
    "older_hooks::",
    "outcomes::",
    "streams::",
    "tickets::the_first_byte_is_right_or_doubtful",
];

/// Programs that take long, the longest first; all others follow.
const LONG: &[&str] = &[KERNEL, "da-server package", UNIT_TESTS, "da-server game"];

/// One start of a test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What it is called in reports.
    pub name: String,
    /// Which program.
    pub program: Program,
    /// Which tests of it, by parts of their names; all if there are none.
    pub filters: Vec<String>,
    /// Its arguments, besides these and those that all have.
    pub arguments: Vec<String>,
    /// What is set in its environment.
    pub environment: Vec<(&'static str, &'static str)>,
}

/// All that is to run.
pub struct Plan {
    /// Beside one another.
    pub together: Vec<Run>,
    /// One after the other, after those.
    pub alone: Vec<Run>,
}

/// Every program once, and the kernel tests in their parts.
pub fn plan(mut programs: Vec<Program>) -> Plan {
    let rank = |program: &Program| LONG.iter().position(|name| *name == program.name);
    programs.sort_by_key(|program| rank(program).unwrap_or(LONG.len()));
    let mut plan = Plan { together: Vec::new(), alone: Vec::new() };
    for program in programs {
        if program.name == KERNEL {
            plan.add_kernel_tests(&program);
        } else if program.name == HOSTILE {
            let arguments = ["--test-threads", HOSTILE_CASES_AT_ONCE];
            plan.together.push(run(&program, ", quick part", QUICK_HOSTILE, &arguments));
        } else {
            plan.together.push(run(&program, "", &[], &[]));
        }
    }
    plan
}

/// Every case of the hostile suite.
pub fn whole_hostile_suite(program: &Program) -> Run {
    run(program, "", &[], &["--test-threads", HOSTILE_CASES_AT_ONCE])
}

impl Plan {
    fn add_kernel_tests(&mut self, program: &Program) {
        // A part of a name is enough for libtest: what else has such a part has to be left out.
        let beside = ["--test-threads", KERNEL_TESTS_AT_ONCE, "--skip", ALONE, "--skip", GUEST];
        let older_beside = [&beside[..], &["--skip", "call_edges::"]].concat();
        let one_by_one = ["--test-threads", "1"];
        self.together.push(run(program, ", guest", &[GUEST], &one_by_one));
        self.together.push(run(program, "", &[], &beside));
        self.together.push(older_hooks(run(
            program,
            ", older hooks",
            WITH_OLDER_HOOKS,
            &older_beside,
        )));
        self.alone.push(run(program, ", alone", &[ALONE], &one_by_one));
    }
}

fn older_hooks(run: Run) -> Run {
    Run { environment: vec![(OLDER_HOOKS, "1")], ..run }
}

fn run(program: &Program, part: &str, filters: &[&str], arguments: &[&str]) -> Run {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Run {
        name: format!("{}{part}", program.name),
        program: program.clone(),
        filters: owned(filters),
        arguments: owned(arguments),
        environment: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &str) -> Program {
        let name = name.to_owned();
        Program { package: name.clone(), folder: "/".into(), path: "/program".into(), name }
    }

    #[test]
    fn of_the_hostile_suite_a_part_runs_with_all_tests() {
        let plan = plan(vec![program(HOSTILE)]);
        let [quick] = &plan.together[..] else { panic!("one run") };
        assert_eq!(quick.filters, QUICK_HOSTILE);
        assert_eq!(whole_hostile_suite(&quick.program).filters, [""; 0]);
    }

    #[test]
    fn the_longest_begins_and_kernel_tests_are_parted() {
        let plan = plan(["da-standin", "da-server game", UNIT_TESTS, KERNEL].map(program).to_vec());
        let names = |runs: &[Run]| runs.iter().map(|run| run.name.clone()).collect::<Vec<_>>();
        assert_eq!(
            names(&plan.together),
            [
                "da-server kernel, guest",
                KERNEL,
                "da-server kernel, older hooks",
                UNIT_TESTS,
                "da-server game",
                "da-standin"
            ]
        );
        assert_eq!(names(&plan.alone), ["da-server kernel, alone"]);
        let [guest, all, older] = &plan.together[..3] else { panic!("three parts") };
        assert_eq!(guest.filters, [GUEST]);
        assert_eq!(all.filters, [""; 0]);
        assert!(all.arguments.windows(2).any(|pair| pair == ["--skip", GUEST]), "{all:?}");
        assert_eq!(all.environment, []);
        assert_eq!(older.environment, [(OLDER_HOOKS, "1")]);
        for run in [all, older] {
            assert!(run.arguments.windows(2).any(|pair| pair == ["--skip", ALONE]), "{run:?}");
            assert!(run.filters.iter().all(|name| !name.starts_with(ALONE)), "{run:?}");
        }
        for run in &plan.alone {
            assert!(!run.filters.is_empty(), "{run:?}");
            assert!(run.filters.iter().all(|name| name.starts_with(ALONE)), "{run:?}");
        }
    }
}
