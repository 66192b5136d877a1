//! What programs and people ask over HTTP: routes, who may ask, limits. It is a client of the daemon like any command, in a
//! process of its own: however many ask, and however badly, the daemon and what runs do not notice.

mod connection;
mod files;
mod guard;
mod metrics;
mod openapi;
mod problem;
mod routes;
mod source;
mod stream;
mod token;

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use hyper::{HeaderMap, Method, StatusCode, header};
use tokio::sync::Semaphore;

pub use self::files::{Site as FileSite, Wrong as WrongSite, serve as serve_files};
pub use self::guard::Names;
pub use self::problem::Problem;
pub use self::source::{Action, Feed, Instance, Load, Source, Streams};
pub use self::token::{Scope, TOKENS, has_tokens, new_token};

use self::problem::answer;
use self::routes::{Handler, Input, ROUTES, Reply, Route};
use self::stream::Happenings;

/// No request needs more.
const BODY_BYTES_MAX: usize = 16 << 10;
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// An answer that is no older is good enough for the next who asks the same: many may ask, the daemon is asked a few times a
/// second.
const FRESH: Duration = Duration::from_millis(200);
/// How many different answers are kept for that.
const ANSWERS_MAX: usize = 64;
/// How many look, and change something, at a time. Others wait for their turn.
const LOOKS_MAX: usize = 4;
const CHANGES_MAX: usize = 4;
/// For their turn, and to be answered.
const LOOK_PATIENCE: Duration = Duration::from_secs(30);
/// As many may listen.
const LISTENERS_MAX: usize = 256;
/// Of these, to logs: the system lets a user follow so many things, and each takes a thread.
const FOLLOWERS_MAX: usize = 32;

/// An answer, when it was found, and who has it looked up just now.
type Kept = Arc<tokio::sync::Mutex<Option<(Instant, Reply)>>>;

/// What every request needs.
struct Site {
    source: Arc<dyn Source>,
    home: PathBuf,
    names: Names,
    answers: Mutex<HashMap<String, Kept>>,
    looks: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    happenings: Happenings,
}

/// Serves for ever.
///
/// # Errors
/// When it cannot be listened.
pub async fn serve(listener: TcpListener, source: Arc<dyn Source>, home: PathBuf, names: Names) -> io::Result<()> {
    let site = Arc::new(Site {
        source,
        home,
        names,
        answers: Mutex::default(),
        looks: Arc::new(Semaphore::new(LOOKS_MAX)),
        changes: Arc::new(Semaphore::new(CHANGES_MAX)),
        listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
        followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        happenings: Happenings::new(),
    });
    connection::accept(listener, router(&site)).await
}

fn router(site: &Arc<Site>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        let site = Arc::clone(site);
        router = router.route(
            route.path,
            on(filter, move |request: Request| async move {
                let answered = site.answer(route, request).await;
                answered.unwrap_or_else(|problem| problem.response())
            }),
        );
    }
    router
        .fallback(|| async { Problem::missing("there is nothing of that name").response() })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "that is not done in this way").response()
        })
}

impl Site {
    async fn answer(self: Arc<Self>, route: &'static Route, request: Request) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        self.names.check(&parts.uri, &parts.headers)?;
        if let Some(scope) = route.scope {
            guard::authorize(&self.home, &parts.headers, scope)?;
        }
        let path = RawPathParams::from_request_parts(&mut parts, &()).await;
        let path = path.map_err(|error| Problem::invalid(format!("the path cannot be read: {error}")))?;
        let path: Vec<(String, String)> =
            path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = self.body(route, &parts.headers, body).await?;
        let input = routes::checked(route, &path, parts.uri.query(), &body)?;
        match route.handler {
            Handler::Look(look) => {
                let key = format!("{} {}", route.id, parts.uri);
                let reply = tokio::time::timeout(LOOK_PATIENCE, self.look(key, look, input)).await;
                let reply = reply.map_err(|_| Problem::unavailable("it takes too long"))??;
                Ok(negotiated(reply, &parts.headers).response())
            }
            Handler::Change(change) => {
                let done = in_turn(&self.changes, &self.source, move |source| change(source, &input)).await;
                // What was seen before is not so any more.
                self.answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clear();
                done.map(Reply::response)
            }
            Handler::Happenings | Handler::Stream(_) if parts.method == Method::HEAD => Ok(nothing()),
            Handler::Happenings => {
                let after = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
                stream::happenings(&self.source, &self.happenings, &self.listeners, after).await
            }
            Handler::Stream(follow) => {
                let source = Arc::clone(&self.source);
                // That there is nothing of that name is said before anything is begun.
                let target = input.parameters.get("target").cloned();
                let known = tokio::task::spawn_blocking(move || source.instances(target.as_deref()));
                known.await.map_err(|_| Problem::broken("it was given up"))??;
                let source = Arc::clone(&self.source);
                stream::stream(&self.followers, move |feed| {
                    // It ends with whoever listens, who sees that it has.
                    let _ = follow(&*source, &input, feed);
                })
            }
        }
    }

    async fn body(&self, route: &Route, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Problem> {
        let read = tokio::time::timeout(BODY_PATIENCE, axum::body::to_bytes(body, BODY_BYTES_MAX)).await;
        let read = read.map_err(|_| Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come"))?;
        let bytes =
            read.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or broken off"))?;
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
        if route.body.is_some() && !is_json {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be `application/json`"));
        }
        Ok(bytes.to_vec())
    }

    /// Of those who ask the same at once one has it looked up.
    async fn look(
        &self,
        key: String,
        look: fn(&dyn Source, &Input) -> Result<Reply, Problem>,
        input: Input,
    ) -> Result<Reply, Problem> {
        let place = {
            let mut answers = self.answers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if answers.len() >= ANSWERS_MAX && !answers.contains_key(&key) {
                answers.clear();
            }
            Arc::clone(answers.entry(key).or_default())
        };
        let mut place = place.lock().await;
        if let Some((_, reply)) = place.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(reply.clone());
        }
        let reply = in_turn(&self.looks, &self.source, move |source| look(source, &input)).await?;
        *place = Some((Instant::now(), reply.clone()));
        Ok(reply)
    }
}

/// Not on the loop, and so many at a time. Whose client hangs up keeps its turn until it is done.
async fn in_turn(
    turns: &Arc<Semaphore>,
    source: &Arc<dyn Source>,
    work: impl FnOnce(&dyn Source) -> Result<Reply, Problem> + Send + 'static,
) -> Result<Reply, Problem> {
    let given_up = |_| Problem::broken("it was given up");
    let turn = Arc::clone(turns).acquire_owned().await.map_err(|_| Problem::unavailable("it is over"))?;
    let source = Arc::clone(source);
    let work = move || {
        let done = work(&*source);
        drop(turn);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(given_up)?
}

/// Metrics are in one of two formats.
fn negotiated(reply: Reply, headers: &HeaderMap) -> Reply {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if reply.kind != metrics::KIND || metrics::takes_openmetrics(&accepted.collect::<Vec<_>>().join(",")) {
        return reply;
    }
    Reply { kind: metrics::PLAIN, text: metrics::plain(&reply.text), ..reply }
}

/// What would go on, to who asks for its head only.
fn nothing() -> Response {
    answer(StatusCode::OK, stream::KIND, HeaderMap::new(), Body::empty())
}

impl Reply {
    fn response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        answer(status, self.kind, HeaderMap::new(), self.text)
    }
}
