use super::*;
use crate::{ModelKind, Rates};
use mainstay_contract::Usd;

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn builtin() -> PriceTable {
    PriceTable::builtin().unwrap()
}

fn input(table: &PriceTable, provider: &str, model: &str) -> Option<String> {
    let price = table.lookup(provider, model)?;
    Some(price.rates.input.to_string())
}

#[test]
fn the_builtin_table_is_in_order() {
    let table = builtin();
    assert_eq!(table.as_of().len(), 10);
    let mut count = 0;
    for (provider, id, price) in table.models() {
        let name = format!("{provider}/{id}");
        let at = table.lookup(provider, id);
        assert_eq!(at, Some(price), "{name}");
        assert!(
            price.context_window.is_none_or(|tokens| tokens > 0),
            "{name}"
        );
        is_sane(&name, &price.rates);
        let mut below = &price.rates;
        for tier in &price.tiers {
            is_sane(&name, &tier.rates);
            assert!(tier.rates.input >= below.input, "{name}");
            assert!(tier.rates.output >= below.output, "{name}");
            below = &tier.rates;
        }
        assert_eq!(
            price.kind == ModelKind::Embedding,
            price.rates.output == Usd::ZERO && price.rates.input != Usd::ZERO,
            "{name}"
        );
        count += 1;
    }
    assert!(count > 300, "{count}");
    let of = |wanted| {
        table
            .models()
            .filter(|(known, ..)| *known == wanted)
            .count()
    };
    for provider in ["openai", "anthropic", "gemini", "azure_openai"] {
        assert!(of(provider) > 10, "{provider}");
    }
    let windowless = table.models().filter(|(.., p)| p.context_window.is_none());
    assert!(windowless.count() < 10);
}

/// Parts lie where providers put them; a table that says otherwise has a slip of the decimal point.
fn is_sane(name: &str, rates: &Rates) {
    let most = usd("1000");
    assert!(rates.input <= most && rates.output <= most, "{name}");
    assert!(
        rates.output == Usd::ZERO || rates.output >= rates.input,
        "{name}"
    );
    let plain = rates.input;
    assert!(rates.cache_read.is_none_or(|price| price < plain), "{name}");
    assert!(
        rates.cache_write.is_none_or(|price| price >= plain),
        "{name}"
    );
    let write = rates.cache_write.unwrap_or(plain);
    assert!(
        rates.cache_write_hour.is_none_or(|price| price >= write),
        "{name}"
    );
}

#[test]
fn a_name_is_never_priced_as_a_longer_or_shorter_one() {
    let table = builtin();
    let mini = input(&table, "openai", "gpt-4o-mini").unwrap();
    assert_ne!(input(&table, "openai", "gpt-4o"), Some(mini.clone()));
    assert_eq!(
        input(&table, "openai", "gpt-4o-mini-2024-07-18"),
        Some(mini)
    );
    for name in [
        "gpt-4o-min",
        "gpt-4o-mini-x",
        "gpt-4o-2",
        "gpt-4o-mini-2024-7-18",
        "gpt-4o-mini-0718",
        "GPT-4o",
        "gpt",
        "",
        "-2024-07-18",
        "gpt-4o-mini-2024-07-18-x",
        "gpt-4o-mini-19990718",
    ] {
        assert_eq!(input(&table, "openai", name), None, "{name}");
    }
    assert_eq!(input(&table, "anthropic", "gpt-4o"), None);
    assert_eq!(input(&table, "nobody", "gpt-4o"), None);
}

#[test]
fn a_date_at_the_end_is_cut_only_where_the_dated_version_is_unknown() {
    let table = builtin();
    // Dearer than the undated one.
    assert_eq!(input(&table, "openai", "gpt-4o-2024-05-13").unwrap(), "5");
    assert_eq!(input(&table, "openai", "gpt-4o").unwrap(), "2.5");
    assert_eq!(input(&table, "openai", "gpt-4o-2031-01-01").unwrap(), "2.5");
    let sonnet = input(&table, "anthropic", "claude-sonnet-4-5");
    assert_eq!(
        input(&table, "anthropic", "claude-sonnet-4-5-20310101"),
        sonnet
    );
    assert!(sonnet.is_some());
    assert_eq!(input(&table, "openai", "gpt-4ö-2031-01-01"), None);
    assert_eq!(input(&table, "openai", "ö2031-01-01"), None);
}

#[test]
fn a_fine_tuned_model_costs_as_its_base_does_tuned() {
    let table = builtin();
    let base = input(&table, "openai", "ft:gpt-4o-mini-2024-07-18");
    assert!(base.is_some());
    let tuned = "ft:gpt-4o-mini-2024-07-18:us:shop:x1";
    assert_eq!(input(&table, "openai", tuned), base);
    assert_ne!(input(&table, "openai", "gpt-4o-mini"), base);
    assert_eq!(input(&table, "openai", "ft:unheard-of:us::x1"), None);
    assert_eq!(input(&table, "openai", "ft:"), None);
}

#[test]
fn long_prompts_have_their_own_prices() {
    let table = builtin();
    let price = table.lookup("gemini", "gemini-2.5-pro").unwrap();
    let cost = |input| {
        let tokens = crate::Tokens {
            input,
            ..crate::Tokens::default()
        };
        price.cost(tokens).usd
    };
    assert_eq!(cost(200_000), usd("0.25"));
    assert_eq!(cost(200_001), usd("0.5000025"));
}

const OWN: &str = r#"{"as_of": "2030-01-01", "models": {
    "openai": {
        "gpt-4o-mini": {"price": {"input": "7", "output": "9"}},
        "mine": {"aliases": ["gpt-4o-2024-05-13", "m"], "context_window": 5,
            "price": {"input": "1", "output": "1", "cache_read": "0.5"},
            "tiers": [{"above_input_tokens": 3, "price": {"input": "2", "output": "2"}}]}},
    "cellar": {"llama": {"free": true, "price": {"input": "0", "output": "0"}}}
}}"#;

#[test]
fn a_users_own_prices_come_first() {
    let table = builtin().with_overrides(OWN).unwrap();
    assert_eq!(table.as_of(), "2030-01-01");
    // The dated version is another name of the model that was overridden, and follows it.
    for name in ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"] {
        assert_eq!(input(&table, "openai", name).unwrap(), "7");
        assert_eq!(table.lookup("openai", name).unwrap().context_window, None);
    }
    for name in ["mine", "m", "gpt-4o-2024-05-13"] {
        assert_eq!(input(&table, "openai", name).unwrap(), "1");
    }
    assert_eq!(input(&table, "openai", "gpt-4o").unwrap(), "2.5");
    assert_eq!(input(&table, "cellar", "llama").unwrap(), "0");
    let again = table.with_overrides(r#"{"models": {}}"#).unwrap();
    assert_eq!(again.as_of(), "2030-01-01");
}

#[test]
fn what_makes_no_sense_is_refused_with_the_model() {
    let refused = |entry: &str| {
        let text = format!(r#"{{"models": {{"p": {{"m": {entry}}}}}}}"#);
        PriceTable::default().with_overrides(&text).unwrap_err()
    };
    let zero = PriceTableError::Zero("p/m".to_owned());
    assert_eq!(refused(r#"{"price": {"input": "0", "output": "1"}}"#), zero);
    assert_eq!(refused(r#"{"price": {"input": "1"}}"#), zero);
    assert_eq!(
        refused(r#"{"price": {"input": "1", "output": "1", "cache_read": "0"}}"#),
        zero
    );
    assert_eq!(
        refused(r#"{"free": true, "price": {"input": "1", "output": "1"}}"#),
        zero
    );
    assert_eq!(
        refused(
            r#"{"price": {"input": "1", "output": "1"},
                "tiers": [{"above_input_tokens": 1, "price": {"input": "0", "output": "1"}}]}"#
        ),
        zero
    );
    assert_eq!(
        refused(r#"{"kind": "embedding", "price": {"input": "1", "output": "1"}}"#),
        PriceTableError::Output("p/m".to_owned())
    );
    let tier = r#"{"above_input_tokens": 5, "price": {"input": "2", "output": "2"}}"#;
    let twice =
        format!(r#"{{"price": {{"input": "1", "output": "1"}}, "tiers": [{tier}, {tier}]}}"#);
    assert_eq!(refused(&twice), PriceTableError::Order("p/m".to_owned()));
    assert_eq!(
        refused(r#"{"aliases": ["m"], "price": {"input": "1", "output": "1"}}"#),
        PriceTableError::Twice("p/m".to_owned())
    );
    for entry in [
        r#"{"price": {"input": 1, "output": "1"}}"#,
        r#"{"price": {"input": "-1", "output": "1"}}"#,
        r#"{"price": {"input": "1", "output": "1", "ouptut": "1"}}"#,
        r#"{"price": {"input": "1", "output": "1"}, "context_window": 0}"#,
        r#"{"price": {"input": "1", "output": "1"}, "window": 1}"#,
        "7",
    ] {
        assert!(
            matches!(refused(entry), PriceTableError::Malformed(_)),
            "{entry}"
        );
    }
}
