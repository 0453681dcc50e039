//! Counts tests, from what the test programs print and from nextest's JUnit file.

use std::collections::BTreeMap;

/// A test that could not do its work here prints this, then the reason.
const SKIPPED: &str = "skipped: ";

/// What became of tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Reasons for skipping, with the number of tests that gave each.
    pub(crate) reasons: BTreeMap<String, usize>,
}

impl Tally {
    pub(crate) fn skipped(&self) -> usize {
        self.reasons.values().sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += count;
        }
    }

    fn skip(&mut self, reason: &str) {
        *self.reasons.entry(reason.trim().to_owned()).or_default() += 1;
    }

    /// From the lines of `cargo test -- --show-output`. A test that says it skipped passed for the
    /// harness, and is moved to the skipped ones here.
    pub(crate) fn of_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut tally = Self::default();
        let mut has_skipped = false;
        for line in lines {
            if line.starts_with("---- ") && line.ends_with(" ----") {
                has_skipped = false;
            } else if let Some(reason) = line.strip_prefix(SKIPPED).filter(|_| !has_skipped) {
                has_skipped = true;
                tally.skip(reason);
                tally.passed = tally.passed.wrapping_sub(1);
            } else if let Some(counts) = line.strip_prefix("test result: ") {
                let number = |word| count(counts, word);
                tally.passed = tally.passed.wrapping_add(number("passed"));
                tally.failed += number("failed");
                for _ in 0..number("ignored") {
                    tally.skip("marked as ignored");
                }
            }
        }
        tally
    }

    /// From the JUnit file that nextest writes with the output of successful tests.
    pub(crate) fn of_junit(xml: &str) -> Self {
        let mut tally = Self::default();
        for case in xml.split("<testcase ").skip(1) {
            let case = case.split("</testcase>").next().unwrap_or(case);
            let reason = case
                .split(['\n', '>'])
                .find_map(|line| line.strip_prefix(SKIPPED));
            if case.contains("<failure") || case.contains("<error") {
                tally.failed += 1;
            } else if let Some(reason) = reason {
                tally.skip(&unescape(reason.split('<').next().unwrap_or(reason)));
            } else if case.contains("<skipped") {
                tally.skip("marked as ignored");
            } else {
                tally.passed += 1;
            }
        }
        tally
    }

    /// One check that either holds or not.
    pub(crate) fn of_check(is_good: bool) -> Self {
        Self {
            passed: usize::from(is_good),
            failed: usize::from(!is_good),
            ..Self::default()
        }
    }
}

/// The number before a word: `ok. 3 passed; 1 failed; …`.
fn count(text: &str, word: &str) -> usize {
    let mut words = text.split([' ', ';', '.']).filter(|part| !part.is_empty());
    let mut before = None;
    words
        .find_map(|part| {
            let found = (part == word).then_some(before).flatten();
            before = part.parse().ok();
            found
        })
        .unwrap_or_default()
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_test_are_counted() {
        let lines = "test a ... ok\n\nsuccesses:\n\n---- a stdout ----\nskipped: no disk\nskipped: again\n\n\
                     ---- b stdout ----\nskipped: no disk\n\ntest result: ok. 5 passed; 0 failed; 1 ignored; \
                     0 measured; 9 filtered out\ntest result: FAILED. 2 passed; 3 failed; 0 ignored;";
        let tally = Tally::of_lines(lines.lines());
        assert_eq!((tally.passed, tally.failed, tally.skipped()), (5, 3, 3));
        assert_eq!(tally.reasons["no disk"], 2);
    }

    #[test]
    fn junit_is_counted() {
        let xml = "<testsuites><testsuite><testcase name=\"a\" time=\"1\"><system-out>running 1 test\n\
                   skipped: needs &quot;root&quot;\n</system-out></testcase>\
                   <testcase name=\"b\"/><testcase name=\"c\"><failure type=\"x\">no</failure></testcase>\
                   </testsuite></testsuites>";
        let tally = Tally::of_junit(xml);
        assert_eq!((tally.passed, tally.failed, tally.skipped()), (1, 1, 1));
        assert_eq!(tally.reasons["needs \"root\""], 1);
    }
}
