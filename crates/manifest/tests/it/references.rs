//! What one mistake must not cause: findings about its consequences.

use crate::support::check;

#[test]
fn a_broken_section_makes_no_name_unknown() {
    let findings = check("version: 1\nmodels: 5\nagents: {a: {model: m}}\n").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn a_broken_model_is_still_known() {
    let findings =
        check("version: 1\nmodels: {m: {provider: x, file: f}}\nagents: {a: {model: m}}\n")
            .findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    let findings =
        check("version: 1\nmodels: {m: 5}\nagents: {a: {model: m, budget: {usd: 1}}}\n").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn after_a_syntax_error_nothing_is_missing() {
    let findings = check("models: {m: {provider: script,\nagents: {a: {model: m}}\n").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn an_alias_is_reported_once() {
    let findings = check("version: 1\nname: &n x\nmodels: *n\nagents: {a: {model: m}}\n").findings;
    assert_eq!(findings.len(), 2, "{findings:?}");
}
