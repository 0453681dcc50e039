//! The error codes, their pages and the tests that provoke them.
//!
//! The page of a code is `docs/errors/CODE.md`, where CODE is the code as it is, colon included: a
//! reader who has a code has the file name. Nothing is generated; people write pages.

use crate::place::{Failure, Findings, Place, conclude};

const TABLE: &str = "crates/contract/src/code.rs";
const PAGES: &str = "docs/errors";
const HEADINGS: &[&str] = &["## What happened", "## What to do"];

/// Where the end-to-end tests are, which provoke every code.
const TESTS: &[&str] = &["crates/cli/tests", "crates/node/tests"];

pub(crate) fn run(place: &Place) -> Result<(), Failure> {
    let codes = codes(place)?;
    let findings = pages(place, &codes)?;
    if findings.is_empty() {
        println!("error-pages: {} codes, each has its page", codes.len());
    }
    conclude("error-pages", &findings)
}

/// The codes of the table, in its order.
pub(crate) fn codes(place: &Place) -> Result<Vec<String>, Failure> {
    let codes = codes_in(&place.read(TABLE)?);
    if codes.is_empty() {
        return Err(Failure::Found(format!(
            "{TABLE} holds no `codes! {{` table that can be read"
        )));
    }
    Ok(codes)
}

/// Lines of the table read `Variant "code":`.
fn codes_in(source: &str) -> Vec<String> {
    let table = source.split_once("\ncodes! {").map_or("", |(_, rest)| rest);
    let table = table.split_once("\n}").map_or(table, |(inside, _)| inside);
    let code = |line: &str| {
        let (variant, rest) = line.trim().split_once(" \"")?;
        let (code, rest) = rest.split_once('"')?;
        let is_entry = rest.starts_with(':') && variant.chars().all(char::is_alphanumeric);
        is_entry.then(|| code.to_owned())
    };
    table.lines().filter_map(code).collect()
}

/// Pages that are missing, incomplete or of no code.
pub(crate) fn pages(place: &Place, codes: &[String]) -> Result<Findings, Failure> {
    let mut found = Vec::new();
    let files = place.files(PAGES, &["md"])?;
    for code in codes {
        let path = format!("{PAGES}/{code}.md");
        if files.contains(&path) {
            found.extend(flaws(code, &path, &place.read(&path)?));
        } else {
            found.push(format!(
                "{path}: missing; write `# {code}`, a line that says what it is, `## What happened` and \
                 `## What to do`"
            ));
        }
    }
    let is_left_over = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let code = name.strip_suffix(".md").unwrap_or(name);
        code != "README" && !codes.iter().any(|known| known == code)
    };
    let left_over = files.iter().filter(is_left_over);
    found.extend(left_over.map(|path| format!("{path}: no code has this name; remove the page")));
    Ok(found)
}

fn flaws(code: &str, path: &str, text: &str) -> Findings {
    let mut found = Vec::new();
    if text.lines().next() != Some(&format!("# {code}")) {
        found.push(format!("{path}:1: the first line must be `# {code}`"));
    }
    for heading in HEADINGS {
        let mut after = text.lines().skip_while(|line| line != heading).skip(1);
        let body = after.find(|line| !line.trim().is_empty());
        if body.is_none_or(|line| line.starts_with('#')) {
            found.push(format!("{path}: needs `{heading}` with text below it"));
        }
    }
    found
}

/// Codes that no end-to-end test names.
pub(crate) fn untested(place: &Place, codes: &[String]) -> Result<Findings, Failure> {
    let mut tests = String::new();
    for folder in TESTS {
        for file in place.files(folder, &["rs"])? {
            tests.push_str(&place.read(&file)?);
        }
    }
    let is_untested = |code: &&String| !tests.contains(&format!("\"{code}\""));
    let advice = |code: &String| {
        format!(
            "{TABLE}: no end-to-end test provokes \"{code}\"; add one under crates/cli/tests, or \
                 remove the code: the list never promises what cannot happen"
        )
    };
    Ok(codes.iter().filter(is_untested).map(advice).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_and_nothing_else() {
        let source = "macro_rules! codes { \"no\": }\ncodes! {\n    A \"x.a\":\n        Node 400 \"no: t\";\n    \
                      B \"x.b:c\":\n        Node 400 2 \"T\";\n}\nC \"x.c\":\n";
        assert_eq!(codes_in(source), ["x.a", "x.b:c"]);
    }

    #[test]
    fn empty_and_missing_sections_are_flaws() {
        let good = "# a\n\nx\n\n## What happened\n\nx\n\n## What to do\n\n- y\n";
        assert!(flaws("a", "p", good).is_empty());
        assert_eq!(flaws("b", "p", good).len(), 1);
        assert_eq!(
            flaws("a", "p", "# a\n## What happened\n\n## What to do\nx").len(),
            1
        );
        assert_eq!(flaws("a", "p", "# a\n").len(), 2);
    }

    #[test]
    fn a_code_without_page_or_test_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path());
        std::fs::create_dir_all(place.join(PAGES)).unwrap();
        std::fs::create_dir_all(place.join(TESTS[0])).unwrap();
        std::fs::write(place.join("docs/errors/x.old.md"), "# x.old").unwrap();
        std::fs::write(place.join("crates/cli/tests/t.rs"), "refused(\"x.b\")").unwrap();
        let codes = ["x.a".to_owned(), "x.b".to_owned()];
        assert_eq!(pages(&place, &codes).unwrap().len(), 3);
        let untested = untested(&place, &codes).unwrap();
        assert_eq!(untested.len(), 1);
        assert!(untested[0].contains("x.a"), "{untested:?}");
    }
}
