//! The page of a folder.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::time::SystemTime;

use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::base::format_bytes;

/// What stays as it is in a link: nothing of it means anything in HTML or in a URL.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const STYLE: &str = "body{font:14px/1.6 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color-scheme:light dark}\
    table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.1em .8em}\
    td+td,th+th{white-space:nowrap;text-align:right;opacity:.75}a{text-decoration:none}a:hover{text-decoration:underline}";

pub(super) struct Item {
    pub(super) name: OsString,
    pub(super) is_folder: bool,
    pub(super) bytes: u64,
    pub(super) modified: Option<SystemTime>,
}

/// As a path in a URL, from the root on.
pub(super) fn url(names: &[OsString]) -> String {
    names.iter().fold(String::new(), |url, name| format!("{url}/{}", percent_encode(name.as_bytes(), KEPT)))
}

pub(super) fn html(names: &[OsString], items: &[Item]) -> String {
    let title = names.iter().fold("/".to_owned(), |title, name| format!("{title}{}/", escaped(name)));
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <table>\n<tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr>\n"
    );
    if !names.is_empty() {
        html.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for Item { name, is_folder, bytes, modified } in items {
        let slash = if *is_folder { "/" } else { "" };
        let size = if *is_folder { String::new() } else { format_bytes(*bytes) };
        let at = modified.and_then(|at| Timestamp::try_from(at).ok());
        let at = at.map(|at| at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default();
        // A string takes everything.
        let _ = writeln!(
            html,
            "<tr><td><a href=\"{}{slash}\">{}{slash}</a></td><td>{size}</td><td>{at}</td></tr>",
            percent_encode(name.as_bytes(), KEPT),
            escaped(name),
        );
    }
    html.push_str("</table>\n</body>\n</html>\n");
    html
}

fn escaped(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.to_string_lossy().chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            c if c.is_control() => text.push('\u{fffd}'),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn names_are_shown_and_mean_nothing() {
        let item = |name: &[u8], is_folder| Item {
            name: OsString::from_vec(name.to_vec()),
            is_folder,
            bytes: 2_048,
            modified: Some(SystemTime::UNIX_EPOCH),
        };
        let items = [item(b"a\"><script>", true), item(b"caf\xc3\xa9 & \xff\n?#%.txt", false)];
        let html = html(&["<b>".into(), "x".into()], &items);
        assert!(html.contains("<h1>/&lt;b&gt;/x/</h1>"), "{html}");
        assert!(html.contains("<a href=\"a%22%3E%3Cscript%3E/\">a&quot;&gt;&lt;script&gt;/</a>"), "{html}");
        let row = "<a href=\"caf%C3%A9%20%26%20%FF%0A%3F%23%25.txt\">caf\u{e9} &amp; \u{fffd}\u{fffd}?#%.txt</a></td>\
                   <td>2K</td><td>1970-01-01 00:00</td>";
        assert!(html.contains(row), "{html}");
        assert!(html.contains("href=\"../\""));
        assert!(!super::html(&[], &[]).contains("../"));
    }
}
