//! Stand-in providers.
fn main() {}
