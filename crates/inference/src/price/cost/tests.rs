use super::super::Tier;
use super::*;
use proptest::prelude::*;

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

/// Prices of a model whose every part has its own, and that costs double above 1000 tokens.
fn full() -> ModelPrice {
    let rates = |factor: u64| {
        let price = |nanos: u64| Usd::from_nanos(nanos * factor);
        Rates {
            input: price(3_000_000_000),
            output: price(15_000_000_000),
            cache_read: Some(price(300_000_000)),
            cache_write: Some(price(3_750_000_000)),
            cache_write_hour: Some(price(6_000_000_000)),
            input_audio: Some(price(40_000_000_000)),
            output_audio: Some(price(80_000_000_000)),
        }
    };
    ModelPrice {
        rates: rates(1),
        tiers: vec![Tier {
            above_input_tokens: 1000,
            rates: rates(2),
        }],
        ..ModelPrice::default()
    }
}

#[test]
fn parts_are_paid_instead_of_the_whole() {
    let tokens = Tokens {
        input: 1000,
        cache_read: 100,
        cache_write: 10,
        cache_write_hour: 20,
        input_audio: 30,
        output: 50,
        reasoning: 40,
        output_audio: 5,
    };
    let cost = full().cost(tokens);
    // 840 × 3 + 100 × 0.3 + 10 × 3.75 + 20 × 6 + 30 × 40 + 45 × 15 + 5 × 80, for a million.
    assert_eq!(cost.usd, usd("0.0049825"));
    assert_eq!(cost.above_input_tokens, None);
}

#[test]
fn a_tier_holds_for_the_whole_request_beyond_its_threshold() {
    let at = |input| {
        full().cost(Tokens {
            input,
            output: 1,
            ..Tokens::default()
        })
    };
    assert_eq!(at(1000).usd, usd("0.003015"));
    assert_eq!(at(1001).usd, usd("0.006036"));
    assert_eq!(at(1001).above_input_tokens, Some(1000));
}

#[test]
fn a_part_without_a_price_costs_as_what_it_is_part_of() {
    let price = ModelPrice::flat(usd("2"), usd("8"));
    let tokens = Tokens {
        input: 100,
        cache_read: 10,
        cache_write: 20,
        cache_write_hour: 30,
        input_audio: 40,
        output: 10,
        output_audio: 10,
        ..Tokens::default()
    };
    assert_eq!(price.cost(tokens).usd, usd("0.00028"));
    let mut price = price;
    price.rates.cache_write = Some(usd("3"));
    assert_eq!(price.cost(tokens).usd, usd("0.00033"));
}

#[test]
fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
    let price = ModelPrice::flat(Usd::from_nanos(1), Usd::from_nanos(1));
    let cost = |input, output| {
        let tokens = Tokens {
            input,
            output,
            ..Tokens::default()
        };
        price.cost(tokens).usd.nanos()
    };
    assert_eq!(cost(0, 0), 0);
    assert_eq!(cost(1, 1), 1);
    assert_eq!(cost(500_000, 500_000), 1);
    assert_eq!(cost(500_000, 500_001), 2);
}

#[test]
fn what_does_not_fit_is_the_most_that_fits() {
    let most = Usd::from_nanos(u64::MAX);
    let tokens = Tokens {
        input: u64::MAX,
        cache_read: u64::MAX,
        cache_write: u64::MAX,
        output: u64::MAX,
        output_audio: u64::MAX,
        ..Tokens::default()
    };
    assert_eq!(ModelPrice::flat(most, most).cost(tokens).usd, most);
    assert_eq!(full().worst_case(u64::MAX, u64::MAX), most);
}

#[test]
fn sound_is_reserved_for_only_where_it_may_come() {
    assert_eq!(full().worst_case(1000, 100), usd("0.048"));
    assert_eq!(full().worst_case_without_audio(1000, 100), usd("0.0075"));
    assert_eq!(full().worst_case_without_audio(1001, 0), usd("0.012012"));
}

fn any_usd() -> impl Strategy<Value = Usd> {
    prop_oneof![0..10_u64, 0..1_000_000_000_000_u64].prop_map(Usd::from_nanos)
}

fn any_rates() -> impl Strategy<Value = Rates> {
    let part = || proptest::option::of(any_usd());
    (any_usd(), any_usd(), part(), part(), part(), part(), part()).prop_map(
        |(input, output, cache_read, cache_write, cache_write_hour, input_audio, output_audio)| {
            Rates {
                input,
                output,
                cache_read,
                cache_write,
                cache_write_hour,
                input_audio,
                output_audio,
            }
        },
    )
}

fn any_price() -> impl Strategy<Value = ModelPrice> {
    let tier = (1..4_000_000_u64, any_rates());
    (any_rates(), proptest::collection::vec(tier, 0..3)).prop_map(|(rates, mut tiers)| {
        tiers.sort_by_key(|(above, _)| *above);
        tiers.dedup_by_key(|(above, _)| *above);
        let tiers = tiers.into_iter().map(|(above_input_tokens, rates)| Tier {
            above_input_tokens,
            rates,
        });
        ModelPrice {
            rates,
            tiers: tiers.collect(),
            ..ModelPrice::default()
        }
    })
}

/// Tokens whose parts are parts.
fn any_tokens() -> impl Strategy<Value = Tokens> {
    proptest::array::uniform7(prop_oneof![Just(0), 0..100_u64, 0..1_000_000_u64]).prop_map(
        |[
            plain,
            cache_read,
            cache_write,
            cache_write_hour,
            input_audio,
            text,
            output_audio,
        ]| {
            Tokens {
                input: plain + cache_read + cache_write + cache_write_hour + input_audio,
                cache_read,
                cache_write,
                cache_write_hour,
                input_audio,
                output: text + output_audio,
                reasoning: text / 2,
                output_audio,
            }
        },
    )
}

/// The exact cost in nano-dollars for a million, by another way: all of it at the plain price, then
/// what each part costs more or less.
fn reference(price: &ModelPrice, tokens: Tokens) -> i128 {
    let mut rates = price.rates;
    for tier in &price.tiers {
        if tier.above_input_tokens < tokens.input {
            rates = tier.rates;
        }
    }
    let whole = |count: u64, price: Usd| i128::from(count) * i128::from(price.nanos());
    let extra = |count: u64, part: Option<Usd>, plain: Usd| {
        let part = part.map_or(i128::from(plain.nanos()), |part| i128::from(part.nanos()));
        i128::from(count) * (part - i128::from(plain.nanos()))
    };
    let hour = rates.cache_write_hour.or(rates.cache_write);
    whole(tokens.input, rates.input)
        + whole(tokens.output, rates.output)
        + extra(tokens.cache_read, rates.cache_read, rates.input)
        + extra(tokens.cache_write, rates.cache_write, rates.input)
        + extra(tokens.cache_write_hour, hour, rates.input)
        + extra(tokens.input_audio, rates.input_audio, rates.input)
        + extra(tokens.output_audio, rates.output_audio, rates.output)
}

proptest! {
    #[test]
    fn the_cost_is_the_exact_sum_rounded_up(price in any_price(), tokens in any_tokens()) {
        let nanos = i128::from(price.cost(tokens).usd.nanos());
        let exact = reference(&price, tokens);
        prop_assert!(exact >= 0);
        prop_assert!(nanos * 1_000_000 >= exact, "not less than it costs");
        prop_assert!((nanos - 1) * 1_000_000 < exact, "by no whole nano-dollar more");
    }

    #[test]
    fn more_tokens_cost_more(mut price in any_price(), one in any_tokens(), other in any_tokens()) {
        price.tiers.clear();
        let (a, b) = (price.cost(one).usd.nanos(), price.cost(other).usd.nanos());
        let both = price.cost(one.plus(other)).usd.nanos();
        prop_assert!(both >= a.max(b));
        prop_assert!(both <= a + b && both + 1 >= a + b, "apart they round up once more");
    }

    #[test]
    fn nothing_costs_more_than_the_worst_case(
        price in any_price(),
        tokens in any_tokens(),
        spare in (0..1000_u64, 0..1000_u64),
    ) {
        let (input, output) = (tokens.input + spare.0, tokens.output + spare.1);
        prop_assert!(price.cost(tokens).usd <= price.worst_case(input, output));
        let silent = Tokens { input_audio: 0, output_audio: 0, ..tokens };
        prop_assert!(price.cost(silent).usd <= price.worst_case_without_audio(input, output));
        prop_assert!(
            price.worst_case_without_audio(input, output) <= price.worst_case(input, output)
        );
    }
}
