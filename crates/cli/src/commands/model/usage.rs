//! `model usage`: what was spent, in a table.

use super::table;
use crate::args::{By, ModelUsage};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;
use mainstay_contract::Usd;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// What is added up, beside money.
const COUNTS: [&str; 7] = [
    "answers",
    "failures",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
];

/// How many of these a table shows.
const SHOWN: usize = 4;

#[derive(Default)]
struct Sum {
    counts: [u64; COUNTS.len()],
    usd: Usd,
}

pub(super) async fn run(
    output: Output,
    client: &Client,
    args: ModelUsage,
) -> Result<ExitCode, CliError> {
    let path = match &args.since {
        Some(day) => format!("/api/usage?from={}", super::call::segment(day)),
        None => "/api/usage".to_owned(),
    };
    let usage: Value = client.get(&path).await?;
    let by = match args.by.is_empty() {
        true => vec![By::Day, By::Key, By::Agent, By::Model],
        false => args.by,
    };
    let sums = sums(&usage, &by);
    if output.is_json {
        let rows: Vec<Value> = sums
            .iter()
            .map(|(group, sum)| json_row(&by, group, sum))
            .collect();
        output.json(&json!({ "rows": rows, "budgets": usage["budgets"] }));
        return Ok(ExitCode::SUCCESS);
    }
    let heads = by.iter().map(|by| by.word().to_uppercase());
    let more = ["ANSWERS", "FAILURES", "IN", "OUT", "USD"].map(str::to_owned);
    let mut rows = vec![heads.chain(more).collect::<Vec<_>>()];
    for (group, sum) in &sums {
        let names = group
            .iter()
            .map(|name| name.clone().unwrap_or_else(|| "-".to_owned()));
        let counts = sum.counts.iter().take(SHOWN).map(u64::to_string);
        rows.push(names.chain(counts).chain([sum.usd.to_string()]).collect());
    }
    table(output, &rows);
    budgets(output, &usage["budgets"]);
    Ok(ExitCode::SUCCESS)
}

/// What each group used, by the names that make it.
fn sums(usage: &Value, by: &[By]) -> BTreeMap<Vec<Option<String>>, Sum> {
    let mut sums: BTreeMap<Vec<Option<String>>, Sum> = BTreeMap::new();
    for row in usage["rows"].as_array().into_iter().flatten() {
        let name = |by: &By| row[by.word()].as_str().map(str::to_owned);
        let sum = sums.entry(by.iter().map(name).collect()).or_default();
        for (count, field) in sum.counts.iter_mut().zip(COUNTS) {
            *count = count.saturating_add(row[field].as_u64().unwrap_or_default());
        }
        let usd = row["usd"].as_str().and_then(|text| text.parse().ok());
        sum.usd = sum.usd.plus(usd.unwrap_or(Usd::ZERO));
    }
    sums
}

fn json_row(by: &[By], group: &[Option<String>], sum: &Sum) -> Value {
    let names = by.iter().zip(group);
    let names = names.map(|(by, name)| (by.word().to_owned(), json!(name)));
    let counts = COUNTS.iter().zip(sum.counts);
    let counts = counts.map(|(field, count)| ((*field).to_owned(), json!(count)));
    let usd = ("usd".to_owned(), json!(sum.usd));
    Value::Object(names.chain(counts).chain([usd]).collect::<Map<_, _>>())
}

fn budgets(output: Output, budgets: &Value) {
    for budget in budgets.as_array().into_iter().flatten() {
        let text = |name: &str| budget[name].as_str().unwrap_or_default().to_owned();
        output.note(&format!(
            "budget of {} {}: {} of {} USD spent, {} reserved, per {}",
            text("kind"),
            text("name"),
            text("spent"),
            text("limit"),
            text("reserved"),
            text("per"),
        ));
    }
}
