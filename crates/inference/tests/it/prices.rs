//! Our costs beside those by LiteLLM's price file and those of genai-prices, for a thousand random usages
//! and for every model and part by itself. `cargo xtask test` installs what is needed; without it the
//! test is skipped, or fails where `MAINSTAY_TEST_INSTALL` is set.

use mainstay_inference::{ModelKind, ModelPrice, PriceTable, Tokens};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RANDOM: usize = 1000;

/// In nano-dollars: genai-prices divides with 28 digits.
const ROUNDING: u64 = 1;

/// Differences that are known, and why they are.
const EXPLAINED: &str = include_str!("prices_explained.json");

#[derive(Debug, Serialize)]
struct Usage {
    provider: String,
    model: String,
    tokens: Tokens,
    #[serde(skip)]
    nanos: u64,
}

/// Nano-dollars by others, where they know the model.
#[derive(Debug, Deserialize)]
struct Theirs {
    litellm: Option<u64>,
    genai_prices: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    source: String,
    provider: String,
    models: Vec<String>,
    reason: String,
}

/// A source, a provider, a model.
type Name = (String, String, String);

#[test]
fn costs_agree_with_those_by_others_figures() {
    let Some(folder) = installed() else { return };
    let table = PriceTable::builtin().unwrap();
    let names = names(&table);
    let mut usages: Vec<Usage> = names.iter().flat_map(each_part).collect();
    let systematic = usages.len();
    let mut random = Random(7);
    for _ in 0..RANDOM {
        let at = usize::try_from(random.below(names.len() as u64)).unwrap();
        let (provider, model, price) = &names[at];
        let tokens = random.tokens(price);
        usages.push(usage(provider, model, price, tokens));
    }
    let theirs = priced(&folder, &usages);
    assert_eq!(theirs.len(), usages.len());

    let explained = explained();
    let mut differing = BTreeSet::new();
    let mut unexplained = Vec::new();
    let mut compared = (0, 0);
    for (at, (ours, theirs)) in usages.iter().zip(&theirs).enumerate() {
        let is_random = usize::from(at >= systematic);
        // It is where the figures come from: it has to know every model, and agree exactly.
        let litellm = theirs.litellm.unwrap();
        let answers = [
            ("litellm", Some(litellm), 0),
            ("genai_prices", theirs.genai_prices, ROUNDING),
        ];
        for (source, nanos, tolerance) in answers {
            let Some(nanos) = nanos else { continue };
            match source {
                "litellm" => compared.0 += is_random,
                _ => compared.1 += is_random,
            }
            if ours.nanos.abs_diff(nanos) <= tolerance {
                continue;
            }
            let name = [source, &ours.provider, &ours.model].map(ToOwned::to_owned);
            let name: Name = name.into();
            if !explained.contains(&name) {
                unexplained.push(format!("{source}: {nanos} for {ours:?}"));
            }
            differing.insert(name);
        }
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let stale: Vec<_> = explained.difference(&differing).collect();
    assert!(stale.is_empty(), "explained, but no difference: {stale:?}");
    println!(
        "of {RANDOM} random usages {} compared with LiteLLM, {} with genai-prices; {} models differ",
        compared.0,
        compared.1,
        differing.len()
    );
    assert!(compared.0 == RANDOM && compared.1 > RANDOM / 3);
}

fn explained() -> BTreeSet<Name> {
    let list: Vec<Explained> = serde_json::from_str(EXPLAINED).unwrap();
    let mut names = BTreeSet::new();
    for one in list {
        assert!(one.reason.len() > 10, "{one:?}");
        for model in one.models {
            assert!(names.insert((one.source.clone(), one.provider.clone(), model)));
        }
    }
    names
}

type Named = (String, String, ModelPrice);

/// Every name of the table, other names included, in an order that never changes.
fn names(table: &PriceTable) -> Vec<Named> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../src/price/models.json")).unwrap();
    let mut names = Vec::new();
    for (provider, id, price) in table.models() {
        names.push((provider.to_owned(), id.to_owned(), price.clone()));
        let aliases = &file["models"][provider][id]["aliases"];
        for alias in aliases.as_array().into_iter().flatten() {
            let alias = alias.as_str().unwrap();
            assert_eq!(table.lookup(provider, alias), Some(price));
            names.push((provider.to_owned(), alias.to_owned(), price.clone()));
        }
    }
    names
}

fn usage(provider: &str, model: &str, price: &ModelPrice, tokens: Tokens) -> Usage {
    Usage {
        provider: provider.to_owned(),
        model: model.to_owned(),
        tokens,
        nanos: price.cost(tokens).usd.nanos(),
    }
}

/// A usage for each part that has a price of its own, and one beyond every threshold.
fn each_part((provider, model, price): &Named) -> Vec<Usage> {
    // Below every threshold, so that the plain prices are seen too.
    let count = 90_000;
    let sent = Tokens {
        input: count,
        ..Tokens::default()
    };
    let rates = &price.rates;
    let mut all = vec![sent];
    let mut add = |has_price: bool, tokens: Tokens| all.extend(has_price.then_some(tokens));
    let output = Tokens {
        output: count,
        ..Tokens::default()
    };
    add(price.kind == ModelKind::Chat, output);
    let (cache_read, cache_write, cache_write_hour) = (count, count, count);
    add(rates.cache_read.is_some(), Tokens { cache_read, ..sent });
    add(
        rates.cache_write.is_some(),
        Tokens {
            cache_write,
            ..sent
        },
    );
    let hour = Tokens {
        cache_write_hour,
        ..sent
    };
    add(rates.cache_write_hour.is_some(), hour);
    let input_audio = count;
    add(
        rates.input_audio.is_some(),
        Tokens {
            input_audio,
            ..sent
        },
    );
    let output_audio = count;
    let spoken = Tokens {
        output_audio,
        ..output
    };
    add(rates.output_audio.is_some(), spoken);
    let input = 2_000_000;
    let long = Tokens {
        input,
        output: output.output,
        ..sent
    };
    add(price.kind == ModelKind::Chat, long);
    let priced = |tokens| usage(provider, model, price, tokens);
    all.into_iter().map(priced).collect()
}

/// Asks the script.
fn priced(folder: &Path, usages: &[Usage]) -> Vec<Theirs> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testkit/prices_check.py");
    let mut child = Command::new(folder.join("bin/python"))
        .arg(script)
        .arg(folder.join("litellm.json"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The script reads everything before it answers.
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(&serde_json::to_vec(usages).unwrap())
        .unwrap();
    drop(stdin);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    serde_json::from_slice(&ended.stdout).unwrap()
}

/// Where `cargo xtask test` puts the figures of others.
fn installed() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let folder = target.join("tools/prices");
    if folder.join("litellm.json").is_file() {
        return Some(folder);
    }
    let is_wanted = std::env::var_os("MAINSTAY_TEST_INSTALL").is_some();
    assert!(!is_wanted, "the figures of others are not installed");
    println!("skipped: the figures of others are not installed");
    None
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// Small and large alike.
    fn size(&mut self) -> u64 {
        let most = 1 << self.below(21);
        self.below(most)
    }

    /// As often none as some; none of what has no price.
    fn part<T>(&mut self, price: Option<T>) -> u64 {
        let size = self.size();
        if price.is_some() && self.below(2) == 0 {
            size
        } else {
            0
        }
    }

    fn tokens(&mut self, price: &ModelPrice) -> Tokens {
        let rates = &price.rates;
        let mut tokens = Tokens {
            cache_read: self.part(rates.cache_read),
            cache_write: self.part(rates.cache_write),
            cache_write_hour: self.part(rates.cache_write_hour),
            input_audio: self.part(rates.input_audio),
            output_audio: self.part(rates.output_audio),
            ..Tokens::default()
        };
        tokens.input = self.size()
            + tokens.cache_read
            + tokens.cache_write
            + tokens.cache_write_hour
            + tokens.input_audio;
        if price.kind == ModelKind::Chat {
            tokens.reasoning = self.size();
            tokens.output = self.size() + tokens.reasoning + tokens.output_audio;
        }
        tokens
    }
}
