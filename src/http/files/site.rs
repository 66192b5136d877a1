use std::path::PathBuf;

/// What is served, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub root: PathBuf,
    pub host: String,
    pub port: u16,
    /// What is not there is the homepage: an application finds its way by itself.
    pub(super) spa: bool,
    /// Folders without an `index.html` are listed.
    pub(super) listing: bool,
    /// What `/` is, below the root.
    pub(super) homepage: String,
    /// `user:password`, of those who are let in.
    pub(super) credentials: Option<String>,
    /// Symbolic links may lead out of the root.
    pub(super) follow_symlinks: bool,
}

/// Which variable is wrong, and how it would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{variable}` is {found}, and has to be {wanted}")]
pub struct Wrong {
    pub variable: String,
    found: String,
    wanted: &'static str,
}

impl Site {
    /// As the variables say it that PM2 has for it.
    ///
    /// # Errors
    /// When one of them is wrong: what was to be protected is rather not served at all.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Wrong> {
        let text = |name: &str| variable(&format!("PM2_SERVE_{name}")).filter(|value| !value.is_empty());
        let wrong = |name: &str, wanted: &'static str| {
            let found = text(name).map_or_else(|| "missing".to_owned(), |found| format!("`{found}`"));
            Wrong { variable: format!("PM2_SERVE_{name}"), found, wanted }
        };
        let is_on = |name: &str| match text(name).unwrap_or_default().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "" | "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(wrong(name, "`true` or `false`")),
        };
        let port = match text("PORT") {
            None => 8080,
            Some(port) => {
                let port = port.parse::<u16>().ok().filter(|port| *port > 0);
                port.ok_or_else(|| wrong("PORT", "a port from 1 to 65535"))?
            }
        };
        let credentials = match (text("BASIC_AUTH_USERNAME"), text("BASIC_AUTH_PASSWORD")) {
            _ if text("BASIC_AUTH").is_some() && !is_on("BASIC_AUTH")? => None,
            (Some(user), Some(_)) if user.contains(':') => {
                return Err(wrong("BASIC_AUTH_USERNAME", "a name without `:`"));
            }
            (Some(user), Some(password)) => Some(format!("{user}:{password}")),
            (Some(_), None) => return Err(Wrong { found: "missing".to_owned(), ..secret("BASIC_AUTH_PASSWORD") }),
            (None, Some(_)) => return Err(secret("BASIC_AUTH_USERNAME")),
            (None, None) if is_on("BASIC_AUTH")? => return Err(secret("BASIC_AUTH_USERNAME")),
            (None, None) => None,
        };
        Ok(Self {
            root: text("PATH").unwrap_or_else(|| ".".to_owned()).into(),
            host: text("HOST").unwrap_or_else(|| "0.0.0.0".to_owned()),
            port,
            spa: is_on("SPA")?,
            listing: is_on("FTP")? || is_on("DIRECTORY")?,
            homepage: text("HOMEPAGE").unwrap_or_else(|| "/index.html".to_owned()),
            credentials,
            follow_symlinks: is_on("FOLLOW_SYMLINKS")?,
        })
    }
}

/// One of the two without the other.
fn secret(name: &str) -> Wrong {
    Wrong {
        variable: format!("PM2_SERVE_{name}"),
        found: "missing".to_owned(),
        wanted: "there: basic authentication takes a name and a password",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(variables: &[(&str, &str)]) -> Result<Site, String> {
        let known = |name: &str| {
            let name = name.strip_prefix("PM2_SERVE_")?;
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Site::of(known).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn without_variables_it_is_this_folder_on_port_8080() {
        let want = Site {
            root: ".".into(),
            host: "0.0.0.0".into(),
            port: 8080,
            spa: false,
            listing: false,
            homepage: "/index.html".into(),
            credentials: None,
            follow_symlinks: false,
        };
        assert_eq!(site(&[]).unwrap(), want);
        assert_eq!(site(&[("PATH", ""), ("PORT", ""), ("SPA", "false"), ("FTP", "0")]).unwrap(), want);
    }

    #[test]
    fn what_is_wrong_is_named_and_nothing_is_served_unprotected() {
        for (variables, want) in [
            (&[("PORT", "0")][..], "`PM2_SERVE_PORT` is `0`, and has to be a port from 1 to 65535"),
            (&[("PORT", "65536")], "`PM2_SERVE_PORT` is `65536`, and has to be a port from 1 to 65535"),
            (&[("SPA", "maybe")], "`PM2_SERVE_SPA` is `maybe`, and has to be `true` or `false`"),
            (
                &[("BASIC_AUTH", "true")],
                "`PM2_SERVE_BASIC_AUTH_USERNAME` is missing, and has to be there: basic authentication takes a name and a password",
            ),
            (
                &[("BASIC_AUTH_USERNAME", "u")],
                "`PM2_SERVE_BASIC_AUTH_PASSWORD` is missing, and has to be there: basic authentication takes a name and a password",
            ),
            (
                &[("BASIC_AUTH_USERNAME", "a:b"), ("BASIC_AUTH_PASSWORD", "p")],
                "`PM2_SERVE_BASIC_AUTH_USERNAME` is `a:b`, and has to be a name without `:`",
            ),
        ] {
            assert_eq!(site(variables).unwrap_err(), want);
        }
        let with = |more: (&'static str, &'static str)| {
            site(&[("BASIC_AUTH_USERNAME", "u"), ("BASIC_AUTH_PASSWORD", "p:q"), more]).unwrap().credentials
        };
        assert_eq!(with(("BASIC_AUTH", "true")).as_deref(), Some("u:p:q"));
        assert_eq!(with(("PORT", "1")).as_deref(), Some("u:p:q"));
        assert_eq!(with(("BASIC_AUTH", "false")), None);
    }
}
