//! Completions for shells. What a shell completes, it asks this program: also which apps there are.

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_complete::{ArgValueCandidates, CompleteEnv, CompletionCandidate};

use super::arguments::Cli;
use super::error::CliError;
use super::exit::Exit;
use super::terminal::{Terminal, harmless};
use super::{instances, surroundings};

/// By which a shell asks.
const VARIABLE: &str = "PMRUN_COMPLETE";

pub(super) const HELP: &str = "\
Examples:
  source <(pmrun completion bash)                                in ~/.bashrc
  source <(pmrun completion zsh)                                 in ~/.zshrc, after compinit
  pmrun completion fish > ~/.config/fish/completions/pmrun.fish";

#[derive(Args, Debug)]
pub(super) struct Completion {
    /// Without it the one that runs now, by $SHELL
    #[arg(value_enum)]
    pub shell: Option<Shell>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Answers a shell that asks, and ends.
pub(super) fn answer_shells() {
    if std::env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(command)
            .var(VARIABLE)
            .shells(clap_complete::env::Shells(&[&Bash, &Zsh, &Fish]))
            .complete();
    }
}

/// With the names of apps where targets are meant.
fn command() -> clap::Command {
    Cli::command().mut_subcommands(|command| {
        command.mut_args(|arg| match arg.get_id().as_str() {
            "targets" | "target" | "what" => arg.add(ArgValueCandidates::new(candidates)),
            _ => arg,
        })
    })
}

fn candidates() -> Vec<CompletionCandidate> {
    known().into_iter().map(CompletionCandidate::new).collect()
}

/// Who cannot be asked has no names.
fn known() -> Vec<String> {
    let views = surroundings::home().and_then(|home| instances::all(&home)).unwrap_or_default();
    let mut names: Vec<String> = views.iter().map(|view| harmless(view.name.as_bytes(), false)).collect();
    names.push("all".to_owned());
    names.dedup();
    names
}

pub(super) fn run(arguments: &Completion, terminal: &mut Terminal) -> Result<Exit, CliError> {
    let shell = arguments
        .shell
        .or_else(own_shell)
        .ok_or_else(|| CliError::usage("which shell?").hint("`pmrun completion bash`, `zsh` or `fish`"))?;
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    let name = if terminal.manners.are_pm2s() { "pm2" } else { "pmrun" };
    completer.write_registration(VARIABLE, name, name, name, &mut script).map_err(|err| CliError::output(&err))?;
    terminal.print(String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

fn own_shell() -> Option<Shell> {
    let shell = std::env::var("SHELL").ok()?;
    Shell::from_str(shell.rsplit('/').next()?, true).ok()
}

/// A name a line.
pub(super) fn names(terminal: &mut Terminal) -> Result<Exit, CliError> {
    terminal.print(known().join("\n") + "\n")?;
    Ok(Exit::Done)
}
