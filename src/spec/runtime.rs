/// What runs JavaScript and speaks to its parent as Node does; each shares ports in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Node,
    /// Workers listen by themselves, side by side.
    Bun,
    /// Workers accept nobody on a socket that they are given, and are told who has come.
    Deno,
}

impl Runtime {
    /// By the name of its program.
    #[must_use]
    pub fn of(interpreter: &str) -> Option<Self> {
        match interpreter.rsplit('/').next().unwrap_or(interpreter) {
            // Debian's name of it is the second.
            "node" | "nodejs" => Some(Self::Node),
            "bun" => Some(Self::Bun),
            "deno" => Some(Self::Deno),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_is_known_by_the_name_of_its_program() {
        let table = [
            ("node", Some(Runtime::Node)),
            ("/usr/bin/nodejs", Some(Runtime::Node)),
            ("/opt/bun", Some(Runtime::Bun)),
            ("deno", Some(Runtime::Deno)),
            ("node18", None),
            ("python3", None),
            ("", None),
        ];
        for (interpreter, want) in table {
            assert_eq!(Runtime::of(interpreter), want, "{interpreter}");
        }
    }
}
