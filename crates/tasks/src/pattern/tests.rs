use super::*;
use proptest::prelude::*;

fn pattern(folder: &str, text: &str) -> Pattern {
    Pattern::parse(&Bytes::from(folder), text).unwrap()
}

#[test]
fn names_and_wildcards() {
    for (text, path, is_match) in [
        ("src/*.rs", "p/src/a.rs", true),
        ("src/*.rs", "p/src/a/b.rs", false),
        ("src/**", "p/src/a/b.rs", true),
        ("src/**", "p/src", true),
        ("src/**/*.rs", "p/src/b.rs", true),
        ("src/**/*.rs", "p/src/a/c/b.rs", true),
        ("src", "p/src/a/c/b.rs", true),
        ("*/dist", "p/web/dist/a", true),
        ("src/*", "p/src/a/c", false),
        ("/top.txt", "top.txt", true),
        ("../q/x", "q/x", true),
        ("./a//b/", "p/a/b", true),
        ("**/.hidden", "p/.hidden", true),
        ("[a-c]?", "p/bé", true),
        ("[!a-c]x", "p/bx", false),
        ("[]]", "p/]", true),
        ("\\*", "p/*", true),
        ("\\*", "p/a", false),
        ("{a,b/c}.{x,y}", "p/b/c.y", true),
        ("a*b*c", "p/abbbc", true),
        ("a*b*c", "p/abbbd", false),
    ] {
        let found = pattern("p", text).is_match(path.as_bytes());
        assert_eq!(found, is_match, "{text} {path}");
    }
}

#[test]
fn what_is_no_pattern_is_refused() {
    let refused = |text| Pattern::parse(&Bytes::from("p"), text).unwrap_err();
    assert!(matches!(refused("../../x"), PatternError::Outside { .. }));
    assert!(matches!(refused("a[b"), PatternError::Unclosed { .. }));
    assert!(matches!(refused("a{b"), PatternError::Unclosed { .. }));
    assert!(matches!(refused("a**"), PatternError::Stars { .. }));
    let many = "{a,b}".repeat(20);
    assert!(matches!(refused(&many), PatternError::TooMany { .. }));
}

#[test]
fn a_pattern_knows_where_it_begins() {
    for (text, literal, root) in [
        ("src/**", None, "p/src"),
        ("a/b", Some("p/a/b"), "p/a"),
        ("/x", Some("x"), ""),
        ("{a/x,a/y}/*", None, "p/a"),
        ("*", None, "p"),
        ("{x}", None, "p"),
    ] {
        let pattern = pattern("p", text);
        assert_eq!(pattern.literal(), literal.map(Bytes::from), "{text}");
        assert_eq!(pattern.root(), Bytes::from(root), "{text}");
    }
    assert_eq!(pattern("p", "!src/*").to_string(), "!p/src/*");
}

#[test]
fn exclusions_take_away_whole_folders() {
    let set = PatternSet::new(["**", "!node_modules", "!**/*.md"].map(|t| pattern("p", t)));
    assert!(set.is_match(b"p/a/b.rs"));
    assert!(!set.is_match(b"p/node_modules/x/y"));
    assert!(!set.is_match(b"p/docs/a.md"));
    let below = ["p", "node_modules"]
        .iter()
        .fold(set.start(), |state, name| set.step(&state, name.as_bytes()));
    assert!(below.is_over());
}

#[test]
fn folders_that_need_no_listing_are_known() {
    let set = PatternSet::new([pattern("p", "src/a.txt"), pattern("q", "*.rs")]);
    let start = set.start();
    assert_eq!(set.names(&start), Names::Only(vec![b"p", b"q"]));
    assert_eq!(set.names(&set.step(&start, b"q")), Names::All);
    assert!(set.step(&start, b"r").is_over());
}

fn text() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("**".to_owned()),
        "[ab*?]{1,3}".prop_filter("stars are names", |name| !name.contains("**")),
        "[ab]",
    ];
    proptest::collection::vec(name, 1..4).prop_map(|names| names.join("/"))
}

proptest! {
    #[test]
    fn matches_what_globset_matches(text in text(), path in "[ab]{1,3}(/[ab]{1,2}){0,3}") {
        // A name at the end means what is below, too, and so does `**` its own folder.
        let once = text.replace("**/**/**", "**").replace("**/**", "**");
        let is_folder = |text: &str| !text.ends_with("**") && !text.rsplit('/').next().unwrap().contains(['*', '?']);
        let globs = match (is_folder(&once), once.strip_suffix("/**")) {
            (true, _) => vec![once.clone(), format!("{once}/**")],
            (_, Some(folder)) => vec![once.clone(), folder.to_owned()],
            _ => vec![once.clone()],
        };
        let reference = globs.iter().any(|glob| {
            let glob = globset::GlobBuilder::new(glob).literal_separator(true).build().unwrap();
            glob.compile_matcher().is_match(&path)
        });
        prop_assert_eq!(pattern("", &text).is_match(path.as_bytes()), reference);
    }

    #[test]
    fn what_both_mean_is_an_overlap(a in text(), b in text(), path in "[ab]{1,3}(/[ab]{1,2}){0,3}") {
        let (a, b) = (pattern("", &a), pattern("", &b));
        if a.is_match(path.as_bytes()) && b.is_match(path.as_bytes()) {
            prop_assert!(a.overlaps(&b), "{} {} {}", a, b, path);
            prop_assert!(b.overlaps(&a));
        }
    }

    #[test]
    fn no_text_breaks_it(text: String, path: Vec<u8>) {
        if let Ok(pattern) = Pattern::parse(&Bytes::from("p"), &text) {
            let _any = pattern.is_match(&path);
        }
    }
}
