//! The packages of `cargo xtask dist`: what is in them, and what a fresh Debian does with one, from
//! the installation over the services to the last file.
//!
//! The Debian is a container with its own service manager, so the units run as they would on a host:
//! with their users, their capabilities and every restriction. That takes root, or a sudo that asks
//! for nothing; where there is neither the test says SKIPPED, and with `CI` set it fails.

use da_testkit::programs::{are_there, skip};

mod base;
mod built;
mod guide;
mod installed;
mod machine;
mod removal;
mod services;
mod unpacked;

use built::Built;
use machine::Machine;

/// What packs a release.
const PACKERS: &[&str] = &["strip", "dpkg-shlibdeps", "git"];

#[test]
fn the_same_program_is_packed_into_the_same_bytes() {
    if !are_there(PACKERS) {
        return;
    }
    let (first, second) = (Built::get(), Built::again());
    assert_eq!(first.sums(), second.sums());
    assert_eq!(first.files_of_tarball(), first.files_of_package());
}

#[test]
fn a_debian_installs_runs_upgrades_and_forgets_the_package() {
    if let Some(why) = machine::cant_start() {
        return skip(&why);
    }
    if !are_there(PACKERS) {
        return;
    }
    let base = match base::tarball() {
        Ok(base) => base,
        Err(why) => return skip(&format!("a clean Debian can't be had: {why}")),
    };
    let machine = Machine::unpack(&base);
    if let Err(why) = machine.starts() {
        return skip(&format!("a container does not start: {why}"));
    }
    let built = Built::get();
    let before = removal::files(&machine);

    installed::install(&machine, built);
    installed::files_are_whole_and_configuration_is_the_operators(&machine);
    installed::links_lead_to_what_is_installed(&machine);
    installed::the_program_runs_and_has_a_kernel_view(&machine);
    installed::man_pages_and_completions_are_well_formed(&machine);
    installed::units_are_clean_and_confined(&machine);

    machine.put(&built.package(), "/acceptance/same.deb");
    removal::leave_next_version(&machine, built);
    let services = services::run(&machine);
    services.the_collector_measures_and_says_for_whom();
    services.the_collector_takes_over_new_endpoints();
    services.the_game_plays_with_a_key_that_only_root_can_read();
    services.neither_has_a_privilege_left();
    services.a_policy_against_restarts_is_kept();
    services.an_upgrade_restarts_them();
    services.a_removal_ends_them();

    removal::what_was_configured_and_kept_is_still_there(&machine);
    removal::a_purge_leaves_nothing(&machine, &before);

    unpacked::the_tarball_installs_over_what_is_there(&machine, built);
    unpacked::it_is_removed_without_a_trace(&machine, &before);

    guide::every_command_for_hosts_was_run(&machine);
}
