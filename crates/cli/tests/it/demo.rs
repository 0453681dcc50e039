//! The demo is the first thing a stranger sees; it says itself whether all went well.

use crate::harness::{Place, is_root, skipped};

#[test]
fn the_demo_repairs_and_recovers() {
    let place = Place::scripted("[]");
    let ran = place.mainstay(&["--json", "demo", "--kills", "5", "--seed", "3"]);
    let report = ran.ok().json();
    assert_eq!(report["passing"], true, "{report}");
    assert_eq!(report["posts"], 1);
    let kills = report["kills"].as_array().unwrap();
    assert_eq!(kills.len(), 5);
    for kill in kills {
        assert_eq!(kill["is_diff_identical"], true, "{kill}");
        assert_eq!(kill["posts"], 1, "{kill}");
    }
}

#[test]
fn an_ordinary_user_sees_the_same_demo() {
    if !is_root() {
        return skipped("these tests are run by an ordinary user already");
    }
    let place = Place::scripted("[]");
    let ran = place.as_ordinary_user(&["--json", "demo", "--kills", "1"]);
    assert_eq!(ran.ok().json()["passing"], true);
}
