//! `serve`: a folder over HTTP, as an app.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::support::Home;

const BOUND: Duration = Duration::from_mins(1);

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    /// Of a header, in lower case.
    fn header(&self, name: &str) -> Option<String> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line[name.len() + 1..].trim().to_owned())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn ask(port: u16, method: &str, path: &str, extra: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{extra}\r\n");
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it answers");
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

fn get(port: u16, path: &str) -> Answer {
    ask(port, "GET", path, "")
}

/// One that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn site(home: &Home) {
    home.write("site/index.html", "<h1>home</h1>");
    home.write("site/404.html", "<h1>gone</h1>");
    home.write("site/app.js", "0123456789");
    home.write("site/sub/<b>.txt", "x");
    home.write("site/.env", "SECRET=1");
    home.write("secret.txt", "secret");
    std::os::unix::fs::symlink("../secret.txt", home.work.join("site/out.txt")).expect("a link");
}

#[test]
fn a_folder_is_served_by_an_app_that_is_looked_after() {
    let home = Home::new();
    site(&home);
    let port = port();
    let number = port.to_string();
    let said = home.ok(&["serve", "site", &number, "--host", "127.0.0.1"]);
    assert!(said.stderr.contains("started"), "{}", said.stderr);
    let name = format!("static-page-server-{port}");
    assert_eq!(home.list()[0].0["name"], json!(name));
    // It had to say itself that it serves: nothing is waited for.
    let page = get(port, "/");
    assert_eq!((page.status, page.text().as_str()), (200, "<h1>home</h1>"));
    assert_eq!(page.header("content-type").as_deref(), Some("text/html; charset=utf-8"));
    assert_eq!(page.header("access-control-allow-origin").as_deref(), Some("*"));
    let part = ask(port, "GET", "/app.js", "range: bytes=2-4\r\n");
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range").as_deref(), Some("bytes 2-4/10"));
    assert_eq!(ask(port, "GET", "/app.js", "range: bytes=20-\r\n").status, 416);
    let head = ask(port, "HEAD", "/app.js", "");
    assert_eq!((head.status, head.text().as_str(), head.header("content-length").as_deref()), (200, "", Some("10")));
    let (tag, at) = (head.header("etag").expect("a tag"), head.header("last-modified").expect("a time"));
    assert_eq!(ask(port, "GET", "/app.js", &format!("if-none-match: {tag}\r\n")).status, 304);
    assert_eq!(ask(port, "GET", "/app.js", &format!("if-modified-since: {at}\r\n")).status, 304);
    let same = ask(port, "GET", "/app.js", &format!("range: bytes=8-\r\nif-range: {tag}\r\n"));
    assert_eq!((same.status, same.text().as_str()), (206, "89"));
    let other = ask(port, "GET", "/app.js", "range: bytes=8-\r\nif-range: \"other\"\r\n");
    assert_eq!((other.status, other.text().as_str()), (200, "0123456789"));
    for path in ["/gone", "/.env", "/%2eenv", "/out.txt", "/sub", "/sub/"] {
        let gone = get(port, path);
        assert_eq!((gone.status, gone.text().as_str()), (404, "<h1>gone</h1>"), "{path}");
    }
    for path in ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/a%00"] {
        assert_eq!(get(port, path).status, 403, "{path}");
    }
    assert_eq!(ask(port, "POST", "/", "content-length: 0\r\n").status, 405);
    // What is not read to its end costs nobody else anything.
    let _idle: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it listens")).collect();
    assert_eq!(get(port, "/").status, 200);

    let again = home.run(&["serve", "site", &number, "--host", "127.0.0.1"]);
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("runs already"), "{}", again.stderr);
    home.ok(&["restart", &name]);
    assert_eq!(get(port, "/").status, 200);
    home.ok(&["delete", &name]);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_file_says_it_as_for_pm2_and_only_who_knows_the_password_is_let_in() {
    let home = Home::new();
    site(&home);
    let (spa, list) = (port(), port());
    let env = |more: serde_json::Value| {
        let mut env = json!({ "PM2_SERVE_PATH": "site", "PM2_SERVE_HOST": "127.0.0.1" });
        env.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        env
    };
    home.apply(&json!({ "name": "sites", "apps": [
        { "name": "spa", "script": "serve", "env": env(json!({
            "PM2_SERVE_PORT": spa, "PM2_SERVE_SPA": "true", "PM2_SERVE_HOMEPAGE": "/index.html",
            "PM2_SERVE_BASIC_AUTH": "true", "PM2_SERVE_BASIC_AUTH_USERNAME": "u", "PM2_SERVE_BASIC_AUTH_PASSWORD": "p",
        })) },
        { "name": "list", "script": "serve", "env": env(json!({ "PM2_SERVE_PORT": list, "PM2_SERVE_FTP": "true" })) },
    ]}));
    let shut = get(spa, "/");
    assert_eq!(shut.status, 401);
    assert!(shut.header("www-authenticate").is_some_and(|realm| realm.starts_with("Basic realm=")));
    assert_eq!(ask(spa, "GET", "/", "authorization: Basic dTpx\r\n").status, 401);
    let deep = ask(spa, "GET", "/users/7", "authorization: Basic dTpw\r\n");
    assert_eq!((deep.status, deep.text().as_str()), (200, "<h1>home</h1>"));
    let asset = ask(spa, "GET", "/users/app.js", "authorization: Basic dTpw\r\n");
    assert_eq!((asset.status, asset.text().as_str()), (200, "0123456789"));
    let moved = get(list, "/sub");
    assert_eq!((moved.status, moved.header("location").as_deref()), (301, Some("/sub/")));
    let page = get(list, "/sub/").text();
    assert!(page.contains("<a href=\"%3Cb%3E.txt\">&lt;b&gt;.txt</a>"), "{page}");
    // It is the same however often it is applied.
    assert_eq!(home.run(&["diff", "eco.json"]).code, Some(0));
    assert!(!home.ok(&["show", "spa"]).stdout.contains("\"p\""));
}

#[test]
fn what_cannot_be_served_is_one_error_and_no_app() {
    let home = Home::new();
    site(&home);
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("it has one").port().to_string();
    for (args, code, wants) in [
        (&["serve", "gone"][..], 1, "cannot serve `gone`: "),
        (&["serve", "site/app.js"], 1, "cannot serve `site/app.js`: it is a file, and `serve` takes a folder"),
        (&["serve", "site", "0"], 64, "a port from 1 to 65535"),
        (&["serve", "site", "70000"], 64, "a port from 1 to 65535"),
        (&["serve", "site", "--basic-auth-username", "u"], 64, "--basic-auth-password"),
        (&["serve", "site", "8080", "--host", "nowhere.invalid"], 1, "cannot listen at nowhere.invalid:8080: "),
    ] {
        let output = home.run(args);
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(wants), "{args:?}: {}", output.stderr);
    }
    let output = home.run(&["serve", "site", &taken, "--host", "127.0.0.1"]);
    assert_eq!(output.code, Some(1));
    let wants = format!("cannot listen at 127.0.0.1:{taken}: ");
    assert!(output.stderr.contains(&wants) && output.stderr.contains("name another port"), "{}", output.stderr);
    assert!(home.list().is_empty());
}
