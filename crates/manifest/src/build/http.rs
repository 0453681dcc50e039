//! Options of the `http` tool.

use super::Names;
use super::agent::effect;
use crate::finding::{Findings, Problem};
use crate::near::near;
use crate::rule::{AllowRule, StatusRange};
use crate::value::{Item, Object, Value};
use crate::{Effect, Http, HttpSecret, Method, Probe};

pub(super) fn http(object: &Object, names: &Names<'_>, findings: &mut Findings) -> Option<Http> {
    let allow: Option<Vec<AllowRule>> = object.list("allow").map(rules);
    let rules = allow.as_deref().unwrap_or_default();
    let declared = object.text("effect").and_then(effect);
    if declared == Some(Effect::Pure) {
        let writing = rules.iter().find(|rule| !rule.method.is_read());
        if let (Some(rule), Some(item)) = (writing, object.get("effect")) {
            let message = format!("`http` cannot be `pure`: it may {}", rule.method);
            let finding = item.place.finding(Problem::Conflict, message);
            findings.add(finding.hint("only GET and HEAD can be; write `once` or `idempotent`"));
        }
    }
    if let (Some(Effect::Pure | Effect::Idempotent), Some(item)) = (declared, object.get("probe")) {
        let message = "a probe means nothing here: only calls of effect `once` are probed";
        let finding = item.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("leave it out, or write `effect: once`"));
    }
    let probe = object
        .object("probe")
        .map(|probe| self::probe(probe, findings));
    let secret = secrets(object, rules, names, findings);
    Some(Http {
        effect: declared?,
        probe: match probe {
            Some(probe) => Some(probe?),
            None => None,
        },
        secret: secret?,
        private: object.texts("private")?,
        timeout: object.duration("timeout")?,
        response_bytes_max: object.bytes("response_bytes_max")?,
        allow: allow?,
    })
}

fn rules(items: &[Item]) -> Vec<AllowRule> {
    let rules = items.iter().filter_map(|item| match &item.value {
        Value::Rule(rule) => Some(rule.clone()),
        _ => None,
    });
    rules.collect()
}

fn probe(object: &Object, findings: &mut Findings) -> Option<Probe> {
    let statuses = |key| {
        let ranges = object
            .list(key)?
            .iter()
            .filter_map(|item| match item.value {
                Value::Statuses(range) => Some(range),
                _ => None,
            });
        Some(ranges.collect::<Vec<StatusRange>>())
    };
    let (applied, absent) = (statuses("applied")?, statuses("absent")?);
    if applied
        .iter()
        .any(|a| absent.iter().any(|b| a.overlaps(*b)))
    {
        let key = if object.is_written("absent") {
            "absent"
        } else {
            "applied"
        };
        let message = "a status stands in `applied` and in `absent`";
        findings.add(object.get(key)?.place.finding(Problem::Conflict, message));
    }
    Some(Probe {
        method: Method::parse(object.text("method")?)?,
        url: object.text("url")?.to_owned(),
        applied,
        absent,
    })
}

fn secrets(
    http: &Object,
    rules: &[AllowRule],
    names: &Names<'_>,
    findings: &mut Findings,
) -> Option<Vec<HttpSecret>> {
    let mut hosts: Vec<&str> = rules.iter().map(|rule| rule.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut secrets: Vec<HttpSecret> = Vec::new();
    for item in http.list("secret")? {
        let Some(object) = item.object() else {
            continue;
        };
        let secret = names.secret(object, findings);
        let host = host(object, item, &hosts, findings);
        let (Some(header), Some(secret), Some(host)) = (object.text("header"), secret, host) else {
            continue;
        };
        let is_same =
            |other: &HttpSecret| other.host == host && other.header.eq_ignore_ascii_case(header);
        if secrets.iter().any(is_same) {
            let message = "another secret fills the same header for the same host";
            findings.add(item.place.finding(Problem::Repeated, message));
        }
        let header = header.to_owned();
        secrets.push(HttpSecret {
            header,
            secret,
            host,
        });
    }
    Some(secrets)
}

/// The one host that gets a secret.
fn host(object: &Object, item: &Item, hosts: &[&str], findings: &mut Findings) -> Option<String> {
    if object.is_written("host") {
        let host = object.text("host")?;
        if !hosts.is_empty() && !hosts.contains(&host) {
            let message = format!("no rule of `allow` names the host `{host}`");
            let place = &object.get("host")?.place;
            let problem = Problem::UnknownReference { section: "allow" };
            let near = near(host, hosts.iter().copied());
            findings.add(place.finding(problem, message).near(near));
        }
        return Some(host.to_owned());
    }
    match hosts {
        [] => None,
        [only] => Some((*only).to_owned()),
        _ => {
            if !findings.is_cut() {
                let message = "the key `host` is missing: `allow` names several hosts, and one gets the secret";
                let finding = item
                    .place
                    .finding(Problem::MissingKey { key: "host" }, message);
                findings.add(finding.hint("repeat the secret for each host that needs it"));
            }
            None
        }
    }
}
