//! A folder over HTTP: what an app of `script: "serve"` runs, a process of its own like any other.

mod listing;
mod place;
mod site;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use data_encoding::BASE64;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode};
use tower_http::services::ServeFile;

use self::place::Place;
pub use self::site::{Site, Wrong};
use super::connection;
use crate::base::sha256_hex;

/// Read of a file at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Serves for ever.
///
/// # Errors
/// When it cannot be listened.
pub async fn serve(listener: TcpListener, site: Site) -> io::Result<()> {
    let site = Arc::new(site);
    let router = Router::new().fallback(move |request: Request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(respond(&site, request).await) }
    });
    connection::accept(listener, router).await
}

async fn respond(site: &Arc<Site>, request: Request) -> Response {
    let mut response = answer(site, request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        // As PM2 has it: what is served is for everybody who may ask.
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        // Asked for anew each time, and answered in a line where nothing changed: what was deployed is what is seen.
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn answer(site: &Arc<Site>, request: Request) -> Response {
    if let Some(credentials) = &site.credentials
        && !may_enter(credentials, request.headers())
    {
        let mut response = plain(StatusCode::UNAUTHORIZED, "401 Unauthorized\n");
        let realm = HeaderValue::from_static("Basic realm=\"Authentication service\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
        return response;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let (looked, path) = (Arc::clone(site), request.uri().path().to_owned());
    let place = tokio::task::spawn_blocking(move || place::find(&looked, &path)).await;
    let Ok(place) = place else { return plain(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n") };
    match place {
        Place::File(path) => file(path, request).await,
        Place::Listing { html } => {
            let mut response = page(StatusCode::OK, "text/html; charset=utf-8", html);
            // Names are other people's: whatever they say, nothing of it runs.
            let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
        Place::Moved { to } => {
            let mut response = plain(StatusCode::MOVED_PERMANENTLY, "301 Moved Permanently\n");
            if let Ok(to) = HeaderValue::from_str(&to) {
                response.headers_mut().insert(header::LOCATION, to);
            }
            response
        }
        Place::Missing { page } => missing(page, request).await,
        Place::Refused => plain(StatusCode::FORBIDDEN, "403 Forbidden\n"),
    }
}

/// `Basic`, compared in a time that tells nothing.
fn may_enter(credentials: &str, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some((scheme, given)) = given.split_once(' ') else { return false };
    let wanted = BASE64.encode(credentials.as_bytes());
    scheme.eq_ignore_ascii_case("basic") && sha256_hex(given.trim().as_bytes()) == sha256_hex(wanted.as_bytes())
}

/// The file, a part of it, or that it is still the same.
async fn file(path: PathBuf, mut request: Request) -> Response {
    let mime = mime_guess::from_path(&path).first_raw().unwrap_or("text/plain");
    let mut service = ServeFile::new(&path).with_buf_chunk_size(CHUNK_BYTES).ignore_multi_range_requests(true);
    if request.headers().contains_key(header::IF_RANGE) && !is_same(&mut service, request.headers()).await {
        request.headers_mut().remove(header::RANGE);
    }
    // What was asked for has been found: only its headers are looked at from here on.
    let Ok(response) = service.try_call(request).await else {
        return plain(StatusCode::NOT_FOUND, "404 Not Found\n");
    };
    let mut response = response.map(Body::new);
    if response.headers().contains_key(header::CONTENT_TYPE) {
        let kind = if mime.starts_with("text/") { format!("{mime}; charset=utf-8") } else { mime.to_owned() };
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
    }
    response
}

/// Whether it is what the client has a part of already.
async fn is_same(service: &mut ServeFile, headers: &HeaderMap) -> bool {
    let head = Request::builder().method(Method::HEAD).uri("/").body(Body::empty());
    let Ok(head) = head else { return false };
    let Ok(known) = service.try_call(head).await else { return false };
    let wanted = headers.get(header::IF_RANGE);
    [header::ETAG, header::LAST_MODIFIED].iter().any(|name| known.headers().get(name) == wanted)
}

async fn missing(page: Option<PathBuf>, request: Request) -> Response {
    let Some(page) = page else { return plain(StatusCode::NOT_FOUND, "404 Not Found\n") };
    // Whole, whatever the client has of it: it is the answer to something else.
    let mut whole = Request::new(Body::empty());
    *whole.method_mut() = request.method().clone();
    let mut response = file(page, whole).await;
    *response.status_mut() = StatusCode::NOT_FOUND;
    for name in [header::ETAG, header::LAST_MODIFIED, header::ACCEPT_RANGES] {
        response.headers_mut().remove::<HeaderName>(name);
    }
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    page(status, "text/plain; charset=utf-8", text.to_owned())
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_both_words_is_let_in() {
        for (given, want) in [
            ("Basic dTpw", true),
            ("basic  dTpw ", true),
            ("Basic dTpx", false),
            ("Basic", false),
            ("Basic ", false),
            ("Bearer dTpw", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, given.parse().unwrap());
            assert_eq!(may_enter("u:p", &headers), want, "{given}");
        }
        assert!(!may_enter("u:p", &HeaderMap::new()));
    }
}
