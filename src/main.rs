use std::process::ExitCode;

fn main() -> ExitCode {
    pmrun::cli::run()
}
