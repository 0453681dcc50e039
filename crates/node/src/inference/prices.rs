//! What a model of the manifest costs.

use mainstay_contract::{Code, ErrorReport};
use mainstay_inference::{
    ModelPrice, PriceTable, PriceTableError, Pricing, Rates, provider_of_host,
};
use mainstay_manifest::{IfPriceUnknown, Manifest, Model, Price, Provider};
use mainstay_sessions::Price as TurnPrice;
use std::borrow::Cow;
use std::path::Path;
use std::sync::{Arc, LazyLock};

static BUILTIN: LazyLock<Result<PriceTable, PriceTableError>> = LazyLock::new(PriceTable::builtin);

/// The table of prices, with the manifest's own file on top.
pub(super) fn table(
    manifest: &Manifest,
    folder: &Path,
) -> Result<Cow<'static, PriceTable>, Box<ErrorReport>> {
    let failed = |message: String| Box::new(ErrorReport::new(Code::ManifestInvalid, message));
    let table = BUILTIN
        .as_ref()
        .map_err(|error| failed(error.to_string()))?;
    let Some(file) = &manifest.prices else {
        return Ok(Cow::Borrowed(table));
    };
    let text = std::fs::read_to_string(folder.join(file));
    let text =
        text.map_err(|error| failed(format!("the prices in {file} cannot be read: {error}")))?;
    let table = table.clone().with_overrides(&text).map(Cow::Owned);
    table.map_err(|error| failed(format!("the prices in {file} cannot be used: {error}")))
}

/// What a model costs by the manifest, or else by the table.
pub(super) fn pricing(model: &Model, table: &PriceTable) -> Pricing {
    if let Some(price) = &model.price {
        return Pricing::Known(Arc::new(written(price)));
    }
    if model.costs_nothing() {
        return Pricing::Free;
    }
    match (known(model, table), model.pricing_if_unknown) {
        (Some(price), _) => Pricing::Known(Arc::new(price.clone())),
        (None, IfPriceUnknown::Allow) => Pricing::Free,
        (None, IfPriceUnknown::Refuse) => Pricing::Unknown,
    }
}

/// What a turn counts with: flat rates, of a pool the dearest of its members'. Nothing where nobody knows.
pub(crate) fn of_turn(
    manifest: &Manifest,
    folder: &Path,
    model: &Model,
) -> Result<Option<TurnPrice>, Box<ErrorReport>> {
    let table = table(manifest, folder)?;
    let members = model.pool().iter();
    let members = members.filter_map(|member| manifest.models.get(&member.to));
    let alone = model.pool().is_empty().then_some(model);
    let mut dearest = TurnPrice::default();
    for model in members.chain(alone) {
        let rates = match pricing(model, &table) {
            Pricing::Known(price) => price.rates,
            Pricing::Free => Rates::default(),
            Pricing::Unknown => return Ok(None),
        };
        dearest.input_per_million = dearest.input_per_million.max(rates.input);
        dearest.output_per_million = dearest.output_per_million.max(rates.output);
    }
    Ok(Some(dearest))
}

/// What the table knows of a model.
pub(super) fn known<'a>(model: &Model, table: &'a PriceTable) -> Option<&'a ModelPrice> {
    let name = model.provider.model()?;
    let provider = match &model.provider {
        Provider::OpenAi { .. } => "openai",
        Provider::Anthropic { .. } => "anthropic",
        Provider::Gemini { .. } => "gemini",
        Provider::AzureOpenAi { .. } => "azure_openai",
        Provider::OpenAiCompatible { base_url, .. } => {
            let uri: axum::http::Uri = base_url.parse().ok()?;
            provider_of_host(uri.host()?)?
        }
        Provider::Script { .. } | Provider::Local { .. } | Provider::Pool { .. } => return None,
    };
    table.lookup(provider, name)
}

fn written(price: &Price) -> ModelPrice {
    let flat = ModelPrice::flat(price.input_per_million, price.output_per_million);
    ModelPrice {
        rates: Rates {
            cache_read: price.cache_read_per_million,
            cache_write: price.cache_write_per_million,
            ..flat.rates
        },
        ..flat
    }
}
