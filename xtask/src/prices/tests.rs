use super::*;
use serde_json::json;

fn made(source: Value) -> Value {
    let source: BTreeMap<String, Value> = serde_json::from_value(source).unwrap();
    let text = written(&table(&source).unwrap(), "2026-01-02");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn prices_move_by_six_places_exactly() {
    for (given, wanted) in [
        (json!(1.375e-07), "0.1375"),
        (json!(6e-05), "60"),
        (json!(0.0006), "600"),
        (json!(3e-09), "0.003"),
        (json!(0), "0"),
        (json!(1.71875e-06), "1.71875"),
        (json!(2), "2000000"),
    ] {
        assert_eq!(per_million(&given).unwrap(), wanted);
    }
    assert!(per_million(&json!(1e-16)).is_err());
    assert!(per_million(&json!(-1)).is_err());
    assert!(per_million(&json!("1")).is_err());
}

#[test]
fn dated_names_fold_only_at_the_same_price() {
    let model = |input: f64| {
        json!({"litellm_provider": "openai", "mode": "chat", "max_input_tokens": 8,
               "input_cost_per_token": input, "output_cost_per_token": 2e-6})
    };
    let table = made(json!({
        "m": model(1e-6), "m-2026-01-01": model(1e-6), "m-2025-01-01": model(5e-6),
        "m-0613": model(1e-6), "m-20260101": model(1e-6), "other": {"mode": "chat"},
    }));
    assert_eq!(
        table,
        json!({"as_of": "2026-01-02", "models": {"openai": {
            "m": {"aliases": ["m-2026-01-01", "m-20260101"], "context_window": 8,
                  "price": {"input": "1", "output": "2"}},
            "m-0613": {"context_window": 8, "price": {"input": "1", "output": "2"}},
            "m-2025-01-01": {"context_window": 8, "price": {"input": "5", "output": "2"}},
        }}})
    );
}

#[test]
fn gaps_of_the_source_are_no_prices() {
    let table = made(json!({
        "gemini/song": {"litellm_provider": "gemini", "mode": "chat", "input_cost_per_token": 0,
            "output_cost_per_token": 0, "output_cost_per_image": 0.04},
        "azure/router": {"litellm_provider": "azure", "mode": "chat",
            "input_cost_per_token": 1e-7, "output_cost_per_token": 0},
        "gemini/open": {"litellm_provider": "gemini", "mode": "chat", "input_cost_per_token": 0,
            "output_cost_per_token": 0},
        "deepseek/d": {"litellm_provider": "deepseek", "mode": "chat", "input_cost_per_token": 2e-6,
            "output_cost_per_token": 3e-6, "cache_creation_input_token_cost": 0.0,
            "cache_creation_input_token_cost_above_1hr": 1e-6,
            "input_cost_per_token_above_200k_tokens": 4e-6,
            "output_cost_per_token_above_200k_tokens": 6e-6,
            "input_cost_per_token_above_200k_tokens_batches": 1e-6},
    }));
    assert_eq!(
        table["models"],
        json!({
            "deepseek": {"d": {"price": {"input": "2", "output": "3"},
                "tiers": [{"above_input_tokens": 200_000, "price": {"input": "4", "output": "6"}}]}},
            "gemini": {"open": {"free": true, "price": {"input": "0", "output": "0"}}},
        })
    );
}

#[test]
fn a_tier_must_have_every_part() {
    let source: BTreeMap<String, Value> = serde_json::from_value(json!({
        "m": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6,
            "output_cost_per_token": 1e-6, "cache_read_input_token_cost": 1e-7,
            "input_cost_per_token_above_9k_tokens": 2e-6},
    }))
    .unwrap();
    assert!(table(&source).is_err());
}
