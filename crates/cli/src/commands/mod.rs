//! One file per command; each parses nothing and decides nothing that a node should decide.

mod cache;
mod codes;
mod doctor;
mod explain;
mod import;
mod init;
mod manifest;
mod model;
mod run;
mod serve;
mod session;
pub(crate) mod task;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::demo;
use crate::error::CliError;
use crate::output::Output;
use clap::CommandFactory;
use std::process::ExitCode;

pub(crate) async fn run(cli: Cli, output: Output) -> Result<ExitCode, CliError> {
    let context = Context {
        global: cli.global,
        output,
    };
    match cli.command {
        Command::Demo(args) => demo::run(&context, &args).await,
        Command::Init(args) => init::run(&context, &args),
        Command::Check => manifest::check(&context),
        Command::Schema => manifest::schema(&context),
        Command::Doctor => doctor::run(&context).await,
        Command::Explain { code } => explain::run(&context, &code),
        Command::Codes => codes::run(&context),
        Command::Serve(args) => serve::run(&context, args).await,
        Command::Run(args) => run::run(&context, args).await,
        Command::Task(command) => task::run(&context, command).await,
        Command::Cache(command) => cache::run(&context, command).await,
        Command::Model(command) => model::run(&context, command).await,
        Command::Session(command) => session::run(&context, command).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "mainstay", &mut script);
            output.text(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
    }
}
