//! What the tests share.

use mainstay_manifest::{Checked, Manifest};

/// Checks a text under the usual file name.
pub(crate) fn check(text: &str) -> Checked<Manifest> {
    mainstay_manifest::check("mainstay.yaml", text.as_bytes())
}

/// The manifest of a text that must be valid.
pub(crate) fn valid(text: &str) -> Manifest {
    let checked = check(text);
    checked
        .manifest
        .unwrap_or_else(|| panic!("{}", listing(&checked.findings)))
}

/// Findings as a user reads them, one a line, with hints below.
pub(crate) fn listing(findings: &[mainstay_manifest::Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text += &format!("{finding}\n");
        if let Some(hint) = &finding.hint {
            text += &format!("  hint: {hint}\n");
        }
    }
    text
}
