//! Whose prices hold at an address, for servers that are reached by address alone.

/// Hosts of providers that the table knows, whole.
const HOSTS: &[(&str, &str)] = &[
    ("api.anthropic.com", "anthropic"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.mistral.ai", "mistral"),
    ("api.openai.com", "openai"),
    ("api.x.ai", "xai"),
    ("generativelanguage.googleapis.com", "gemini"),
];

/// Hosts with a name of the customer's in front.
const SUFFIXES: &[(&str, &str)] = &[
    (".api.openai.com", "openai"),
    (".cognitiveservices.azure.com", "azure_openai"),
    (".openai.azure.com", "azure_openai"),
    (".services.ai.azure.com", "azure_openai"),
];

/// The provider, as the table calls it, behind a host name without its port.
#[must_use]
pub fn provider_of_host(host: &str) -> Option<&'static str> {
    let ends_with = |suffix: &str| {
        let at = host.len().checked_sub(suffix.len());
        let end = at.filter(|&at| at > 0).and_then(|at| host.get(at..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    let whole = HOSTS
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(host));
    let found = whole.or_else(|| SUFFIXES.iter().find(|(suffix, _)| ends_with(suffix)));
    found.map(|(_, provider)| *provider)
}

#[cfg(test)]
mod tests {
    use super::provider_of_host;

    #[test]
    fn only_whole_hosts_are_known() {
        assert_eq!(provider_of_host("API.openai.com"), Some("openai"));
        assert_eq!(provider_of_host("eu.api.openai.com"), Some("openai"));
        assert_eq!(
            provider_of_host("mine.openai.azure.com"),
            Some("azure_openai")
        );
        for host in [
            "api.openai.com.example",
            "xapi.openai.com",
            ".openai.azure.com",
            "openai.azure.com",
            "",
        ] {
            assert_eq!(provider_of_host(host), None, "{host}");
        }
    }
}
