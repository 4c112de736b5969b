//! How much the verifier has to follow in each program: it refuses one where that comes to a million instructions, and
//! another kernel follows more of the same program.

use std::collections::BTreeMap;

use aya::programs::loaded_programs;
use da_ebpf_common::program::Program;
use da_server::kernel::Unlisted;

use crate::lab::Lab;

/// A fifth of the verifier's limit.
const MOST_INSTRUCTIONS: u32 = 200_000;

#[test]
fn no_program_comes_near_the_verifiers_limit() {
    let Some(_lab) = Lab::open(&[], Unlisted::Drop) else { return };
    let names = Program::ALL.map(Program::as_str);
    let mut most = BTreeMap::new();
    for program in loaded_programs().filter_map(Result::ok) {
        let (Some(name), Some(count)) =
            (program.name_as_str(), program.verified_instruction_count())
        else {
            continue;
        };
        if let Some(name) = names.iter().find(|own| **own == name) {
            let most = most.entry(*name).or_insert(count);
            *most = count.max(*most);
        }
    }
    println!("instructions that the verifier has followed: {most:#?}");
    assert!(most.contains_key("sock_send") || most.contains_key("syscall_send"), "{most:?}");
    for (name, count) in &most {
        assert!(*count <= MOST_INSTRUCTIONS, "{name}: {count}");
    }
}
