//! How secrets are called, and how some begin.

use std::ops::Range;

/// A part of a name that says it all, however it ends (`DBPASSWORD`, `githubtoken`).
const SECRET_ENDINGS: [&str; 17] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "credential",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "authkey",
    "masterkey",
    "signingkey",
    "encryptionkey",
    "dbpass",
    "pgpass",
];

/// Parts of names that say it only when they stand alone: `KEYBOARD`, `MONKEY` and `AUTHOR` are no secrets.
const SECRET_WORDS: [&str; 20] = [
    "key",
    "pass",
    "pwd",
    "dsn",
    "private",
    "auth",
    "oauth",
    "authorization",
    "cred",
    "bearer",
    "jwt",
    "pw",
    "pat",
    "signature",
    "sig",
    "cookie",
    "session",
    "salt",
    "pin",
    "webhook",
];

/// How the tokens of well-known services begin.
pub const TOKEN_BEGINNINGS: [&str; 13] = [
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "npm_",
    "sk_live_",
    "rk_live_",
    "sk-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "eyJ",
];

/// Whether a variable's or option's name says that its value is a secret: one of its parts, as `_`, `-`, `.` and
/// camel case divide it, is such a word (`API_KEY`, `apiKey`, `db.password`).
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    parts(name).iter().any(|part| {
        let part = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let single = part.strip_suffix('s').unwrap_or(part);
        SECRET_WORDS.iter().any(|word| *word == part || *word == single)
            || SECRET_ENDINGS.iter().any(|word| part.ends_with(word) || single.ends_with(word))
            || part.starts_with("password")
    })
}

/// Words of a name, in lower case: `dbURLPassword` is `db`, `url`, `password`.
fn parts(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut parts = vec![String::new()];
    for (i, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            parts.push(String::new());
            continue;
        }
        let before = i.checked_sub(1).map(|i| chars[i]);
        let after = chars.get(i + 1);
        let begins = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || before.is_uppercase() && after.is_some_and(|after| after.is_lowercase())
            });
        if begins {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.extend(c.to_lowercase());
        }
    }
    parts
}

/// `-u`, `--user`: what follows may be `user:password`, as `curl` takes it.
#[must_use]
pub fn announces_user(word: &str) -> bool {
    matches!(word.trim_matches(['"', '\'']), "-u" | "--user")
}

/// The password of `user:password` after `-u`, or of `-uuser:password` and `--user=user:password`.
#[must_use]
pub fn user_password(word: &str, follows_user: bool) -> Option<Range<usize>> {
    let bare = word.trim_start_matches(['"', '\'']);
    let attached = bare.strip_prefix("--user=").or_else(|| bare.strip_prefix("-u").filter(|rest| !rest.is_empty()));
    let user = match attached {
        Some(user) => user,
        None if follows_user && !bare.starts_with('-') => bare,
        None => return None,
    };
    let start = word.len() - user.len() + user.find(':')? + 1;
    let end = word.trim_end_matches(['"', '\'']).len();
    (start < end).then_some(start..end)
}
