use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::probe::{http, http_peer, tcp, tcp_peer};

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a server that answers so is found to be, and what it was asked.
fn answered(answer: &'static str, path: &str) -> (Result<(), String>, String) {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            // In two pieces: a head may come in any number.
            let (first, rest) = answer.split_at(answer.len() / 2);
            stream.write_all(first.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
            let _ = stream.write_all(rest.as_bytes()).await;
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let result = http(&format!("http://127.0.0.1:{port}{path}"), None).await;
        (result, server.await.unwrap())
    })
}

#[test]
fn a_status_says_whether_it_passes() {
    let fail = |text: &str| Err(text.to_owned());
    let table = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Ok(())),
        ("HTTP/1.0 204 No Content\r\n\r\n", Ok(())),
        ("HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n", Ok(())),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Ok(())),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", fail("status 503")),
        ("HTTP/1.1 404\r\n\r\n", fail("status 404")),
        ("hello\r\n\r\n", fail("the answer is not HTTP")),
        ("HTTP/1.1 200 OK\r\n", fail("the connection was closed without an answer")),
        ("", fail("the connection was closed without an answer")),
    ];
    for (answer, want) in table {
        assert_eq!(answered(answer, "/health").0, want, "{answer:?}");
    }
}

#[test]
fn who_only_says_that_it_is_on_its_way_is_no_answer() {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while stream.write_all(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000)).is_ok() {}
    });
    assert_eq!(run(http(&url, None)).unwrap_err(), "the answer is not HTTP");
    server.join().unwrap();
}

#[test]
fn what_is_asked_for() {
    let asked = |path: &str| answered("HTTP/1.1 200 OK\r\n\r\n", path).1.lines().next().unwrap().to_owned();
    let table = [("", "GET / "), ("/a?b=c#d", "GET /a?b=c "), ("?x", "GET /?x ")];
    for (path, want) in table {
        assert_eq!(asked(path), format!("{want}HTTP/1.1"));
    }
}

#[test]
fn a_port_that_nobody_listens_on_is_refused() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = address.to_string();
        let named = format!("localhost:{}", address.port());
        assert!(tcp(&tcp_peer(&text).unwrap(), None).await.is_ok());
        assert!(tcp(&tcp_peer(&named).unwrap(), None).await.is_ok());
        drop(listener);
        assert_eq!(tcp(&tcp_peer(&text).unwrap(), None).await.unwrap_err(), "connection refused");
    });
    assert_eq!(tcp_peer("localhost:99999").unwrap_err(), "`99999` is no port");
}

#[test]
fn who_is_of_this_machine() {
    let tcp = |address: &str| tcp_peer(address).map(|peer| (peer.port, peer.is_local()));
    for (address, want) in [
        ("127.0.0.1:1", Ok((1, true))),
        ("LocalHost:2", Ok((2, true))),
        ("[::1]:3", Ok((3, true))),
        ("0.0.0.0:4", Ok((4, true))),
        ("10.0.0.1:5", Ok((5, false))),
        ("db:6", Ok((6, false))),
        ("db", Err("`db` names no port".to_owned())),
    ] {
        assert_eq!(tcp(address), want, "{address}");
    }
    let http = |url: &str| http_peer(url).map(|peer| (peer.port, peer.is_local()));
    for (url, want) in [
        ("http://localhost:3000/health", Ok((3000, true))),
        ("http://[::1]/x", Ok((80, true))),
        ("http://[::1]:8080?x", Ok((8080, true))),
        ("http://db/", Ok((80, false))),
        ("http://db:x/", Err("`x` is no port".to_owned())),
    ] {
        assert_eq!(http(url), want, "{url}");
    }
}
