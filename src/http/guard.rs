//! Who is let in: by the name that was asked for, by where a page comes from, by the token.

use std::net::IpAddr;
use std::path::Path;

use hyper::{HeaderMap, StatusCode, Uri, header};

use super::problem::Problem;
use super::token::{Scope, scope_of};

/// The names that it answers to besides addresses and `localhost`.
#[derive(Clone, Debug, Default)]
pub struct Names(pub Vec<String>);

impl Names {
    /// A page of another name that resolves to us (DNS rebinding) says that name; a page of another place says that.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        let misdirected = |what: &str| {
            Problem::new(StatusCode::MISDIRECTED_REQUEST, format!("it does not answer to {what}"))
                .hint("`pmrun web --allow-host NAME` has it answer to a name")
        };
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            (None, _) => uri.authority().map(hyper::http::uri::Authority::as_str),
            (Some(_), Some(_)) => None,
        };
        let host = host.ok_or_else(|| Problem::invalid("it takes one `Host`"))?;
        if !self.is_ours(host) {
            return Err(misdirected("that `Host`"));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let place = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, place)| place);
        // The very same place: another port of this machine is another program's.
        if place.is_some_and(|place| place.eq_ignore_ascii_case(host)) {
            return Ok(());
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "pages of other places may not ask"))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        name.eq_ignore_ascii_case("localhost")
            // No name server can have made it mean us.
            || name.parse::<IpAddr>().is_ok()
            || self.0.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Whether whoever asks may.
pub(super) fn authorize(home: &Path, headers: &HeaderMap, needed: Scope) -> Result<(), Problem> {
    let unauthorized = |message: &str| {
        Problem::new(StatusCode::UNAUTHORIZED, message)
            .hint("`pmrun web --new-token` makes a token, to be sent as `Authorization: Bearer TOKEN`")
    };
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let token = token.ok_or_else(|| unauthorized("it takes a token"))?;
    let scope =
        scope_of(home, token).map_err(|error| Problem::unavailable(format!("tokens cannot be read: {error}")))?;
    match scope {
        Some(scope) if scope >= needed => Ok(()),
        Some(_) => Err(Problem::new(StatusCode::FORBIDDEN, "the token is for looking only")
            .hint("`pmrun web --new-token --write` makes one that may change something")),
        None => Err(unauthorized("nobody knows that token")),
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &[&str], origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let names = Names(vec!["box.lan".to_owned()]);
        names.check(&Uri::from_static("/"), &headers).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn other_names_and_other_pages_are_turned_away() {
        for (host, origin, want) in [
            (&["127.0.0.1:9615"][..], None, 200),
            (&["localhost"], None, 200),
            (&["LOCALHOST:1"], None, 200),
            (&["[::1]:9615"], None, 200),
            (&["box.lan:9615"], None, 200),
            (&["evil.example:9615"], None, 421),
            (&["localhost.evil.example"], None, 421),
            (&["127.0.0.1.evil.example"], None, 421),
            (&[""], None, 421),
            (&[], None, 400),
            (&["localhost", "localhost"], None, 400),
            (&["localhost:9615"], Some("http://localhost:9615"), 200),
            (&["localhost:9615"], Some("http://localhost:3000"), 403),
            (&["localhost:9615"], Some("https://evil.example"), 403),
            (&["localhost:9615"], Some("null"), 403),
        ] {
            assert_eq!(check(host, origin), want, "{host:?} {origin:?}");
        }
    }

    #[test]
    fn only_a_bearer_is_one() {
        for (value, want) in [
            ("Bearer x", Some("x")),
            ("bearer  x ", Some("x")),
            ("Basic x", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("x", None),
        ] {
            assert_eq!(bearer(value), want, "{value}");
        }
    }
}
