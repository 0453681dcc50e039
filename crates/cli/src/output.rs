//! How results and failures are shown: data on stdout, everything else on stderr.

use mainstay_contract::{Code, ErrorReport, RetryAdvice};
use serde::Serialize;
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};

/// Where and how to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON instead of text.
    pub(crate) is_json: bool,
    is_quiet: bool,
    is_colored: bool,
    /// Whether a person watches stderr.
    pub(crate) is_terminal: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool, is_quiet: bool) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_json,
            is_quiet,
            is_colored: is_terminal && !is_plain,
            is_terminal,
        }
    }

    /// Prints text to stdout. A closed pipe ends the program quietly, any other failure with a word.
    pub(crate) fn text(self, text: &str) {
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes());
        match written.and_then(|()| stdout.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(128 + 13),
            Err(error) => {
                self.stderr(&format!(
                    "error: standard output cannot be written: {error}"
                ));
                std::process::exit(i32::from(Code::StoreIoFailed.info().exit));
            }
        }
    }

    /// Prints a line to stdout.
    pub(crate) fn line(self, text: &str) {
        self.text(&format!("{}\n", one_line(text)));
    }

    /// Prints one JSON value on a line of stdout.
    pub(crate) fn json(self, value: &impl Serialize) {
        match serde_json::to_string(value) {
            Ok(text) => self.text(&format!("{text}\n")),
            Err(error) => self.note(&format!("unprintable value: {error}")),
        }
    }

    /// Tells a line to whoever watches.
    pub(crate) fn note(self, text: &str) {
        self.styled(&one_line(text));
    }

    /// Tells what has colours or several lines of its own.
    pub(crate) fn styled(self, text: &str) {
        if !self.is_quiet {
            self.stderr(text);
        }
    }

    /// Shows a failure.
    pub(crate) fn failure(self, report: &ErrorReport) {
        if self.is_json {
            self.json(report);
            return;
        }
        self.stderr(&format!(
            "{} {}",
            self.paint("31;1", "error:"),
            one_line(&report.message)
        ));
        for cause in &report.causes {
            self.stderr(&format!("  caused by: {}", one_line(&cause.message)));
        }
        for hint in &report.hints {
            let hint = one_line(hint);
            self.stderr(&format!("{} {hint}", self.paint("36", "hint:")));
        }
        let retry = match (report.retry.advice, report.retry.after_ms) {
            (RetryAdvice::After, Some(ms)) => format!(" · try again in {ms} ms"),
            (RetryAdvice::After, None) => " · try again later".to_owned(),
            (RetryAdvice::Now, _) => " · try again".to_owned(),
            (RetryAdvice::Elsewhere, _) => " · try another node".to_owned(),
            (RetryAdvice::Never | RetryAdvice::AfterFix, _) => String::new(),
        };
        let code = self.paint("2", report.code.as_str());
        self.stderr(&format!(
            "code: {code}{retry} · mainstay explain {}",
            report.code
        ));
    }

    /// Text in a colour (an SGR code), where colour is wanted.
    pub(crate) fn paint(self, color: &str, text: &str) -> String {
        let text = one_line(text);
        if self.is_colored {
            format!("\x1b[{color}m{text}\x1b[0m")
        } else {
            text.into_owned()
        }
    }

    fn stderr(self, text: &str) {
        let _closed = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// The text as a terminal shows it without obeying it: what a file's name may hold, such as the beginning of
/// another line or of a command to the terminal, is spelled out.
fn one_line(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| {
        let turns_text = matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
        c.is_control() || turns_text || matches!(c, '\u{2028}' | '\u{2029}')
    };
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match obeyed(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_text() {
        assert_eq!(one_line("grün \\ 100%"), "grün \\ 100%");
        let hostile = "a\u{1b}[31m\r\nb\u{7f}\u{9b}\u{202e}\u{2028}";
        let shown = "a\\u{1b}[31m\\r\\nb\\u{7f}\\u{9b}\\u{202e}\\u{2028}";
        assert_eq!(one_line(hostile), shown);
    }
}
