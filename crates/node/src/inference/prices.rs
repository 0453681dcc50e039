//! What a model of the manifest costs.

use mainstay_contract::{Code, ErrorReport};
use mainstay_inference::{ModelPrice, PriceTable, Pricing, Rates, provider_of_host};
use mainstay_manifest::{IfPriceUnknown, Manifest, Model, Price, Provider};
use std::path::Path;
use std::sync::Arc;

/// The table of prices, with the manifest's own file on top.
pub(super) fn table(manifest: &Manifest, folder: &Path) -> Result<PriceTable, Box<ErrorReport>> {
    let failed = |message: String| Box::new(ErrorReport::new(Code::ManifestInvalid, message));
    let table = PriceTable::builtin().map_err(|error| failed(error.to_string()))?;
    let Some(file) = &manifest.prices else {
        return Ok(table);
    };
    let text = std::fs::read_to_string(folder.join(file));
    let text =
        text.map_err(|error| failed(format!("the prices in {file} cannot be read: {error}")))?;
    let table = table.with_overrides(&text);
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
