use std::ops::Range;

/// The same bytes as parts that are sorted and apart from each other.
#[must_use]
pub fn merge_ranges(mut parts: Vec<Range<usize>>) -> Vec<Range<usize>> {
    parts.retain(|part| !part.is_empty());
    parts.sort_by_key(|part| (part.start, part.end));
    let mut out: Vec<Range<usize>> = Vec::new();
    for part in parts {
        match out.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => out.push(part),
        }
    }
    out
}
