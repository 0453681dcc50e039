//! The lines of a makefile: continued ones together, comments away, recipes told from the rest.

/// A line with the number of its first part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: u32,
    /// Without the tab where it belongs to a recipe.
    pub(super) text: String,
    pub(super) is_recipe: bool,
}

/// Splits a makefile.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut parts = (1..).zip(text.lines());
    while let Some((number, first)) = parts.next() {
        let is_recipe = first.starts_with('\t');
        let mut text = first.strip_prefix('\t').unwrap_or(first).to_owned();
        while is_continued(&text) {
            let Some((_, next)) = parts.next() else {
                text.pop();
                break;
            };
            if is_recipe {
                text.push('\n');
                text.push_str(next.strip_prefix('\t').unwrap_or(next));
            } else {
                text.pop();
                text.truncate(text.trim_end().len());
                text.push(' ');
                text.push_str(next.trim_start());
            }
        }
        lines.push(Line {
            number,
            text,
            is_recipe,
        });
    }
    lines
}

/// Whether a backslash stands at the end that takes the meaning from what follows.
fn is_continued(text: &str) -> bool {
    let slashes = text.len() - text.trim_end_matches('\\').len();
    slashes % 2 == 1
}

/// A line without its comment.
pub(super) fn without_comment(text: &str) -> String {
    let mut kept = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&'#').is_some() => kept.push('#'),
            '#' => break,
            other => kept.push(other),
        }
    }
    kept
}

/// Where the first of some characters stands outside of references such as `$(a:b)`, without a backslash
/// that takes its meaning.
pub(super) fn outside(text: &str, wanted: &[char]) -> Option<usize> {
    let mut closing = Vec::new();
    let mut last = ' ';
    for (index, character) in text.char_indices() {
        match character {
            '(' if last == '$' || !closing.is_empty() => closing.push(')'),
            '{' if last == '$' || !closing.is_empty() => closing.push('}'),
            _ if closing.last() == Some(&character) => drop(closing.pop()),
            _ if closing.is_empty()
                && wanted.contains(&character)
                && !is_continued(&text[..index]) =>
            {
                return Some(index);
            }
            _ => {}
        }
        last = if (last, character) == ('$', '$') {
            ' '
        } else {
            character
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_after_a_backslash() {
        let found = lines("A = 1 \\\n   2\nx:\n\techo a; \\\n\t  b\nend\\");
        let texts: Vec<_> = found
            .iter()
            .map(|line| (line.number, line.text.as_str()))
            .collect();
        assert_eq!(
            texts,
            [
                (1, "A = 1 2"),
                (3, "x:"),
                (4, "echo a; \\\n  b"),
                (6, "end")
            ]
        );
        assert!(found[2].is_recipe);
    }

    #[test]
    fn references_hide_what_they_hold() {
        assert_eq!(outside("$(A:b=c): ${d:e}", &[':']), Some(8));
        assert_eq!(outside("$$(a:b", &[':']), Some(4));
        assert_eq!(outside("a\\:b\\\\:c", &[':']), Some(6));
        assert_eq!(without_comment("a \\# b # c"), "a # b ");
    }
}
