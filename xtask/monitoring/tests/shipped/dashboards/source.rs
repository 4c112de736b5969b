//! The JSON is what the source says.

use da_monitoring::dashboards::{generate, present};

use super::folder;

#[test]
fn the_dashboards_are_those_of_the_source() {
    let (is, should) = (present(&folder()).unwrap(), generate(&folder()).unwrap());
    assert_eq!(is.keys().collect::<Vec<_>>(), should.keys().collect::<Vec<_>>());
    for (name, text) in should {
        assert!(
            is[&name] == text,
            "dashboards/{name} is not what its source says: cargo xtask dashboards"
        );
    }
}
