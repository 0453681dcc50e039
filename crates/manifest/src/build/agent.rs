//! Agents, their sandbox and their tools.

use super::{Names, http};
use crate::finding::{Findings, Place, Problem};
use crate::value::{Item, Object, Value};
use crate::{Agent, Budget, BudgetAction, Effect, Network, Sandbox, Shell, TaskTool, Tool};
use mainstay_contract::Usd;

pub(super) fn agent(item: &Item, names: &Names<'_>, findings: &mut Findings) -> Option<Agent> {
    let object = item.object()?;
    let model = object.text("model");
    if let (Some(name), Some(item)) = (model, object.get("model")) {
        names.models.refer(name, &item.place, false, findings);
        budget_has_effect(object, names, name, findings);
    }
    let sandbox = object.object("sandbox").and_then(sandbox);
    let tools = tools(object, sandbox.as_ref(), names, findings);
    let budgets = budgets(object, findings);
    Some(Agent {
        model: model?.to_owned(),
        instructions: object.text("instructions").map(str::to_owned),
        tools: tools?,
        sandbox: sandbox?,
        workspace: object.text("workspace").map(str::to_owned),
        steps_max: u32::try_from(object.integer("max_steps")?).ok()?,
        attempts_max: u32::try_from(object.integer("max_attempts")?).ok()?,
        budget: budgets.turn,
        session_budget: budgets.session,
        own_budget: budgets.own,
    })
}

/// An agent's budgets, by what they hold for.
#[derive(Default)]
struct Budgets {
    turn: Option<Usd>,
    session: Option<Usd>,
    own: Option<Budget>,
}

fn budgets(agent: &Object, findings: &mut Findings) -> Budgets {
    let mut budgets = Budgets::default();
    for item in agent.list("budget").unwrap_or_default() {
        let written = item.object().and_then(|object| {
            let usd = object.money("usd")?;
            Some((usd, object.text("per")?))
        });
        let Some((usd, per)) = written else { continue };
        let is_first = match per {
            "turn" => budgets.turn.replace(usd).is_none(),
            "session" => budgets.session.replace(usd).is_none(),
            period => {
                let per = super::limit::period(period);
                let action = BudgetAction::Reject;
                budgets.own.replace(Budget { usd, per, action }).is_none()
            }
        };
        if !is_first {
            let message = "there is another budget for this: one for a turn, one for a session, and one for all sessions are enough";
            findings.add(item.place.finding(Problem::Conflict, message));
        }
    }
    budgets
}

/// A budget counts only what has a price.
fn budget_has_effect(agent: &Object, names: &Names<'_>, model: &str, findings: &mut Findings) {
    if let (true, Some(budget)) = (names.is_free(model), agent.get("budget")) {
        let message = format!("the budget has no effect: the model `{model}` is free");
        let finding = budget.place.finding(Problem::Conflict, message);
        findings.add(finding.hint("give the model a price, or leave the budget out"));
    }
}

pub(super) fn effect(word: &str) -> Option<Effect> {
    match word {
        "pure" => Some(Effect::Pure),
        "idempotent" => Some(Effect::Idempotent),
        "once" => Some(Effect::Once),
        _ => None,
    }
}

fn network(word: &str) -> Option<Network> {
    match word {
        "none" => Some(Network::None),
        "host" => Some(Network::Host),
        _ => None,
    }
}

fn sandbox(object: &Object) -> Option<Sandbox> {
    Some(Sandbox {
        read: object.texts("read")?,
        write: object.texts("write")?,
        network: network(object.text("network")?)?,
        memory: object.bytes("memory"),
        pids: object
            .integer("pids")
            .and_then(|pids| u32::try_from(pids).ok()),
        timeout: object.duration("timeout")?,
        output: object.bytes("output")?,
        weaker: object.boolean("weaker")?,
    })
}

fn tools(
    agent: &Object,
    sandbox: Option<&Sandbox>,
    names: &Names<'_>,
    findings: &mut Findings,
) -> Option<Vec<Tool>> {
    let mut tools = Vec::new();
    let mut seen = Vec::new();
    for item in agent.list("tools")? {
        let Value::Tagged(word, options) = &item.value else {
            continue;
        };
        let target = options.as_ref().and_then(|options| options.text());
        if seen.contains(&(*word, target)) {
            let name = target.unwrap_or(word);
            let message = format!("the agent has the tool `{name}` already");
            findings.add(item.place.finding(Problem::Repeated, message));
            continue;
        }
        seen.push((*word, target));
        let options = options.as_ref().and_then(|options| options.object());
        let tool = match *word {
            "shell" => shell(options, sandbox, &item.place, findings).map(Tool::Shell),
            "files" => Some(Tool::Files),
            "http" => options
                .and_then(|http| http::http(http, names, findings))
                .map(Tool::Http),
            "task" => task(target, agent, sandbox, &item.place, (names, &mut *findings)),
            _ => None,
        };
        tools.extend(tool);
    }
    Some(tools)
}

fn shell(
    options: Option<&Object>,
    sandbox: Option<&Sandbox>,
    place: &Place,
    findings: &mut Findings,
) -> Option<Shell> {
    let sandbox = sandbox?;
    let none = Object::default();
    let options = options.unwrap_or(&none);
    let network = match options.text("network") {
        Some(word) => network(word)?,
        None => sandbox.network,
    };
    let reaches_out = reaches_out(sandbox, network);
    let effect = match options.text("effect") {
        Some(word) => effect(word)?,
        None if reaches_out => Effect::Once,
        None => Effect::Pure,
    };
    if effect == Effect::Pure && reaches_out {
        let why = match network {
            Network::Host => "it reaches the network",
            Network::None => "the sandbox has writable folders outside the workspace",
        };
        let place = options.get("effect").map_or(place, |item| &item.place);
        let finding = place.finding(
            Problem::Conflict,
            format!("`shell` cannot be `pure`: {why}"),
        );
        findings.add(finding.hint("write `once`, or `idempotent` where commands honour the key"));
    }
    Some(Shell {
        network,
        effect,
        timeout: options.duration("timeout").unwrap_or(sandbox.timeout),
    })
}

/// Whether what runs in a sandbox can touch anything but the workspace.
fn reaches_out(sandbox: &Sandbox, network: Network) -> bool {
    network == Network::Host || !sandbox.write.is_empty()
}

fn task(
    target: Option<&str>,
    agent: &Object,
    sandbox: Option<&Sandbox>,
    place: &Place,
    (names, findings): (&Names<'_>, &mut Findings),
) -> Option<Tool> {
    let (target, sandbox) = (target?, sandbox?);
    if agent.text("workspace").is_none() {
        let message = "a task runs in the agent's workspace, and it has none".to_owned();
        let finding = place.finding(Problem::Conflict, message);
        findings.add(finding.hint("write `workspace: .`"));
    }
    // Other projects have manifests of their own.
    if !target.contains(':') && agent.text("workspace") == Some(".") {
        names.tasks.refer(target, place, false, findings);
    }
    let network = sandbox.network;
    Some(Tool::Task(TaskTool {
        target: target.to_owned(),
        network,
        effect: match reaches_out(sandbox, network) {
            true => Effect::Once,
            false => Effect::Pure,
        },
    }))
}
