//! First manifests, for `mainstay init`.

/// Which first manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Starter {
    /// A model behind an OpenAI-compatible server.
    OpenAiCompatible,
    /// A scripted model: no key, no network.
    Script,
}

/// A commented first manifest that passes [`crate::check`].
#[must_use]
pub const fn starter(kind: Starter) -> &'static str {
    match kind {
        Starter::OpenAiCompatible => OPENAI_COMPATIBLE,
        Starter::Script => SCRIPT,
    }
}

const OPENAI_COMPATIBLE: &str = r#"# mainstay.yaml: what runs here. `mainstay check` names every mistake; `mainstay schema` helps editors.
version: 1
name: first-agent

models:
  main:
    # Any server with OpenAI's chat completions: OpenAI itself, vLLM, llama.cpp, Ollama, …
    provider: openai_compatible
    base_url: https://api.openai.com/v1
    model: gpt-4.1-mini
    api_key: {secret: openai}
    # A server of your own may say when it is up; until then nothing is sent to it.
    # health: {http: /health}
    # What a million tokens cost; budgets count with it.
    price: {input_per_million: 0.40, output_per_million: 1.60}

agents:
  fixer:
    model: main
    instructions: |
      You repair the project in the current folder. Run its tests first, find the cause,
      make the smallest change that repairs it, and run the tests again.
    # shell runs commands in a sandbox; files reads, edits and searches the workspace.
    tools: [shell, files]
    # The agent works on a private view of this folder. `mainstay session diff` shows what it
    # changed, and `mainstay session apply` brings it home.
    workspace: .
    sandbox:
      # System folders are readable anyway. Add what your tools need from your home folder:
      # read: [~/.cargo, ~/.rustup]
      network: none
      timeout: 60s
    max_steps: 50
    budget: {usd: 1.00}

secrets:
  # The value stays outside this file.
  openai: {env: OPENAI_API_KEY}
"#;

const SCRIPT: &str = r#"# mainstay.yaml: a model that answers from a file; needs no key and no network.
version: 1
name: first-agent

models:
  scripted:
    provider: script
    # Steps of text and tool calls. `--record FILE` makes such a file from any other provider.
    file: script.yaml

agents:
  fixer:
    model: scripted
    instructions: You repair the project in the current folder.
    # shell runs commands in a sandbox; files reads, edits and searches the workspace.
    tools: [shell, files]
    # The agent works on a private view of this folder. `mainstay session diff` shows what it
    # changed, and `mainstay session apply` brings it home.
    workspace: .
    sandbox:
      network: none
      timeout: 60s
"#;
