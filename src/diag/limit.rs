use std::path::Path;

use super::{Diagnostic, Report};
use crate::document::Location;

/// More are no help, and printing a hundred thousand takes minutes.
const SHOWN_MAX: usize = 1_000;

impl Report {
    /// Keeps the most severe problems of a file that has very many, and says how many more there are.
    pub fn shorten(&mut self, file: &Path) {
        let Some(left) = self.diagnostics.len().checked_sub(SHOWN_MAX).filter(|left| *left > 0) else { return };
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.severity);
        let Diagnostic { severity, code, .. } = self.diagnostics[SHOWN_MAX];
        self.diagnostics.truncate(SHOWN_MAX);
        let message = format!("{left} more problems were found, and are not listed");
        self.push(Diagnostic::new(severity, code, message, Location::File(file.to_owned())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Code, Severity};

    #[test]
    fn very_many_problems_become_a_thousand_and_a_number() {
        let mut report = Report::default();
        let mut push = |severity, count| {
            for _ in 0..count {
                report.push(Diagnostic::new(severity, Code::Value, "odd", Location::Nowhere));
            }
        };
        push(Severity::Warning, 700);
        push(Severity::Error, 300);
        report.shorten(Path::new("eco.json"));
        assert_eq!(report.diagnostics.len(), 1_000);
        report.push(Diagnostic::warning(Code::Value, "odd", Location::Nowhere));
        report.push(Diagnostic::error(Code::Value, "bad", Location::Nowhere));
        report.shorten(Path::new("eco.json"));
        assert_eq!(report.diagnostics.len(), 1_001);
        assert_eq!(report.diagnostics.iter().filter(|found| found.severity == Severity::Error).count(), 301);
        let last = report.diagnostics.last().unwrap();
        assert_eq!((last.severity, last.code), (Severity::Warning, Code::Value));
        assert_eq!(last.message, "2 more problems were found, and are not listed");
    }
}
