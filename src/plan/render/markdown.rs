use std::fmt::Write as _;

use super::{Origin, rows};
use crate::plan::redact::shown_name;
use crate::plan::{Cause, Plan, Step, words};

/// Hosters cut or refuse longer comments (GitHub at 65,536 characters).
const LONGEST: usize = 60_000;

/// For a comment on a pull request: one table. Whatever comes from the file stands in code spans, where it can
/// neither break out of its cell nor mention anybody.
#[must_use]
pub fn render_markdown(plan: &Plan, origin: Origin<'_>) -> String {
    render_markdown_with(plan, &[], origin)
}

/// With lines about drift.
#[must_use]
pub fn render_markdown_with(plan: &Plan, drift: &[String], origin: Origin<'_>) -> String {
    let mut text = format!("### pmrun: {}\n\n", code(&shown_name(&plan.ecosystem.0)));
    for (i, refusal) in plan.refusals.iter().enumerate() {
        let line = format!("- **error:** {}\n", code(&refusal.to_string()));
        if text.len() + line.len() > LONGEST {
            let _ = writeln!(text, "- {} more errors are not shown.", plan.refusals.len() - i);
            break;
        }
        text.push_str(&line);
    }
    if !plan.refusals.is_empty() {
        text.push('\n');
    }
    let steps = || plan.steps.iter().filter(|step| !step.is_keep());
    let (drifted, edited): (Vec<&Step>, Vec<&Step>) = steps().partition(|step| plan.cause(step) == Some(Cause::Drift));
    let mut lines: Vec<String> = edited.into_iter().flat_map(|step| step_lines(step, origin)).collect();
    if !drifted.is_empty() {
        lines.push("| **Drift** | changed since it was applied | | | | |\n".to_owned());
    }
    lines.extend(drifted.into_iter().flat_map(|step| step_lines(step, origin)));
    if !lines.is_empty() {
        text.push_str("| app | what | old | new | where | why |\n| --- | --- | --- | --- | --- | --- |\n");
    }
    for (i, line) in lines.iter().enumerate() {
        if text.len() + line.len() > LONGEST {
            let _ = write!(text, "\n{} more lines are not shown.\n", lines.len() - i);
            break;
        }
        text.push_str(line);
    }
    if !lines.is_empty() {
        text.push('\n');
    }
    for line in drift {
        let _ = writeln!(text, "- drift: {}", code(line));
    }
    if !drift.is_empty() {
        text.push('\n');
    }
    let _ = writeln!(text, "**{}**", words::counts(plan));
    text
}

/// The app's own line, then one a field.
fn step_lines(step: &Step, origin: Origin<'_>) -> Vec<String> {
    let causes = step.reasons.iter().filter_map(|reason| words::cause(reason, step)).chain(words::follows(step));
    let causes = causes.chain(words::remedy(step));
    let causes: Vec<String> = causes.map(|cause| code(&cause)).collect();
    let marker = code(words::marker(step, true));
    let name = code(&shown_name(&step.app));
    let mut lines = vec![format!("| {marker} {name} | **{}** | | | | {} |\n", words::summary(step), causes.join(", "))];
    for row in rows(step, origin) {
        let old = row.old.as_deref().map(code).unwrap_or_default();
        let place = row.place.as_deref().map(code).unwrap_or_default();
        lines.push(format!("| | {} | {old} | {} | {place} | {} |\n", code(&row.field), code(&row.new), row.why));
    }
    lines
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A code span within a table's cell. Its fence is longer than any run of backticks inside; a `|` is escaped, and so
/// is the backslash before one, because tables are split before code is recognised.
fn code(text: &str) -> String {
    let text = one_line(text);
    let mut cell = String::with_capacity(text.len());
    let (mut backslashes, mut backticks, mut longest) = (0, 0, 0);
    for c in text.chars() {
        if c == '|' {
            cell.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        backticks = if c == '`' { backticks + 1 } else { 0 };
        longest = longest.max(backticks);
        cell.push(c);
    }
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{cell}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_a_code_span() {
        let table = [
            ("a", "`a`"),
            ("a|b", r"`a\|b`"),
            (r"a\|b", r"`a\\\|b`"),
            ("a`b", "``a`b``"),
            ("`", "`` ` ``"),
            ("a\nb", "`a b`"),
            ("<b> @all", "`<b> @all`"),
        ];
        for (text, want) in table {
            assert_eq!(code(text), want, "{text}");
        }
    }
}
