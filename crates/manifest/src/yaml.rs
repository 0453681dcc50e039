//! From text to a tree in which every key and value knows its place.
//!
//! Of YAML only what a configuration needs: one document of maps, lists and scalars. Anchors, aliases
//! and tags are refused rather than half understood. After a syntax error the part before it is still
//! returned, so that its mistakes are reported too.

use crate::finding::{Findings, Place, Position, Problem, push_key};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError};
use std::collections::HashMap;

const DEPTH_MAX: usize = 64;

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) content: Content,
}

impl Node {
    /// What a map holds under a key.
    pub(crate) fn entry(&self, name: &str) -> Option<&Self> {
        let Content::Map(entries) = &self.content else {
            return None;
        };
        let (_, value) = entries.iter().find(|(key, _)| key.text == name)?;
        Some(value)
    }
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// `is_plain`: written without quotes, so that it may stand for a number, a boolean or nothing.
    Scalar {
        text: String,
        is_plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// Already reported.
    Refused,
}

/// A key and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) text: String,
    pub(crate) is_plain: bool,
}

enum Pending {
    None,
    Key(Key),
    /// The value of an unusable key, to be dropped.
    Drop,
}

enum Frame {
    List {
        at: Position,
        items: Vec<Node>,
    },
    Map {
        at: Position,
        entries: Vec<(Key, Node)>,
        lines: HashMap<String, u32>,
        pending: Pending,
    },
}

impl Frame {
    fn close(self) -> Node {
        match self {
            Frame::List { at, items } => Node {
                at,
                content: Content::List(items),
            },
            Frame::Map { at, entries, .. } => Node {
                at,
                content: Content::Map(entries),
            },
        }
    }
}

struct Builder<'f> {
    stack: Vec<Frame>,
    root: Option<Node>,
    findings: &'f mut Findings,
}

/// Reads a document. `None` where it holds nothing at all.
pub(crate) fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder {
        stack: Vec::new(),
        root: None,
        findings,
    };
    while let Some(event) = parser.next_event() {
        let goes_on = match event {
            Ok((event, span)) => builder.event(event, position(&span.start)),
            Err(error) => builder.syntax(&error, text),
        };
        if !goes_on {
            builder.findings.cut();
            break;
        }
    }
    builder.finish()
}

impl Builder<'_> {
    /// Takes one event; `false` ends the reading.
    fn event(&mut self, event: Event<'_>, at: Position) -> bool {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "a second document starts here; a manifest is one";
                self.report(at, Problem::SeveralDocuments, message, None);
                return false;
            }
            Event::Alias(_) => {
                let hint = "write the value out";
                let message = "YAML aliases (`*name`) are not supported";
                self.report(at, Problem::Alias, message, Some(hint));
                self.attach(Node {
                    at,
                    content: Content::Refused,
                });
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.extras(at, anchor, tag.is_some());
                let content = Content::Scalar {
                    text: text.into_owned(),
                    is_plain: style == ScalarStyle::Plain,
                };
                self.attach(Node { at, content });
            }
            Event::SequenceStart(anchor, tag) => {
                self.extras(at, anchor, tag.is_some());
                let items = Vec::new();
                return self.open(Frame::List { at, items }, at);
            }
            Event::MappingStart(anchor, tag) => {
                self.extras(at, anchor, tag.is_some());
                let frame = Frame::Map {
                    at,
                    entries: Vec::new(),
                    lines: HashMap::new(),
                    pending: Pending::None,
                };
                return self.open(frame, at);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    self.attach(frame.close());
                }
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
        true
    }

    fn open(&mut self, frame: Frame, at: Position) -> bool {
        if self.stack.len() == DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            let depth_max = DEPTH_MAX;
            self.report(at, Problem::TooDeep { depth_max }, &message, None);
            return false;
        }
        self.stack.push(frame);
        true
    }

    fn extras(&mut self, at: Position, anchor: usize, has_tag: bool) {
        if anchor > 0 {
            let message = "YAML anchors (`&name`) are not supported";
            self.report(
                at,
                Problem::Anchor,
                message,
                Some("write the value out where it is used"),
            );
        }
        if has_tag {
            let message = "YAML tags (`!name`) are not supported";
            self.report(at, Problem::Tag, message, Some("leave the tag out"));
        }
    }

    fn attach(&mut self, node: Node) {
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map {
                entries, pending, ..
            }) => match std::mem::replace(pending, Pending::None) {
                Pending::None => self.key(node),
                Pending::Key(key) => entries.push((key, node)),
                Pending::Drop => {}
            },
        }
    }

    fn key(&mut self, node: Node) {
        let at = node.at;
        let (text, is_plain) = match node.content {
            Content::Scalar { text, is_plain } if !(is_plain && text.is_empty()) => {
                (text, is_plain)
            }
            Content::Refused => return self.set_pending(Pending::Drop),
            Content::Scalar { .. } | Content::List(_) | Content::Map(_) => {
                self.report(at, Problem::KeyNotText, "a key must be a text", None);
                return self.set_pending(Pending::Drop);
            }
        };
        let Some(Frame::Map { lines, .. }) = self.stack.last_mut() else {
            return;
        };
        if let Some(&first_line) = lines.get(&text) {
            self.set_pending(Pending::Key(Key { at, text, is_plain }));
            let message = format!("the key is there twice, first at line {first_line}");
            self.report(at, Problem::DuplicateKey { first_line }, &message, None);
            return self.set_pending(Pending::Drop);
        }
        lines.insert(text.clone(), at.line);
        self.set_pending(Pending::Key(Key { at, text, is_plain }));
    }

    fn set_pending(&mut self, next: Pending) {
        if let Some(Frame::Map { pending, .. }) = self.stack.last_mut() {
            *pending = next;
        }
    }

    fn report(&mut self, at: Position, problem: Problem, message: &str, hint: Option<&str>) {
        let field = if self.findings.is_full() {
            String::new()
        } else {
            self.field()
        };
        let mut finding = Place { at, field }.finding(problem, message);
        finding.hint = hint.map(str::to_owned);
        self.findings.add(finding);
    }

    /// The path of what is being read.
    fn field(&self) -> String {
        let mut field = String::new();
        for frame in &self.stack {
            match frame {
                Frame::List { items, .. } => field.push_str(&format!("[{}]", items.len())),
                Frame::Map {
                    pending: Pending::Key(key),
                    ..
                } => push_key(&mut field, &key.text),
                Frame::Map { .. } => {}
            }
        }
        field
    }

    fn syntax(&mut self, error: &ScanError, text: &str) -> bool {
        let at = position(error.marker());
        let index = usize::try_from(at.line)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let indented_by_tab = |line: &&str| {
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            line[..indent].contains('\t')
        };
        let around = text.lines().skip(index.saturating_sub(1)).take(2);
        if around.clone().any(|line| indented_by_tab(&line)) || error.info().contains("tab") {
            let message = "a tab indents this line or the one before; YAML knows only spaces";
            self.report(at, Problem::Tab, message, Some("replace the tab by spaces"));
        } else {
            let message = format!("not valid YAML: {}", error.info());
            let hint = syntax_hint(error.info());
            self.report(at, Problem::Syntax, &message, hint);
        }
        false
    }

    fn finish(mut self) -> Option<Node> {
        while let Some(frame) = self.stack.pop() {
            self.attach(frame.close());
        }
        let is_nothing = |node: &Node| matches!(&node.content, Content::Scalar { text, is_plain: true } if text.is_empty());
        let root = self.root.filter(|node| !is_nothing(node));
        if root.is_none() && self.findings.is_empty() {
            let finding = Place::START.finding(Problem::Empty, "the manifest is empty");
            self.findings
                .add(finding.hint("`mainstay init` writes a first one"));
        }
        root
    }
}

/// What usually lies behind a message of the parser.
fn syntax_hint(info: &str) -> Option<&'static str> {
    if info.contains("flow") {
        Some("is every bracket and brace closed, with commas between?")
    } else if info.contains("quoted") {
        Some("is every quote closed?")
    } else if info.contains("mapping values") {
        Some("put texts that hold `: ` in quotes")
    } else if info.contains("block") || info.contains("indent") {
        Some("do the keys of one map stand in the same column?")
    } else {
        None
    }
}

fn position(marker: &Marker) -> Position {
    Position {
        line: u32::try_from(marker.line()).unwrap_or(u32::MAX).max(1),
        column: u32::try_from(marker.col()).unwrap_or(u32::MAX - 1) + 1,
    }
}
