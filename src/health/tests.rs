use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::probe::{http, tcp};

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
        let result = http(&format!("http://127.0.0.1:{port}{path}")).await;
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
        assert!(tcp(&address.to_string()).await.is_ok());
        assert!(tcp(&format!("localhost:{}", address.port())).await.is_ok());
        drop(listener);
        assert_eq!(tcp(&address.to_string()).await.unwrap_err(), "connection refused");
        assert_eq!(tcp("localhost:99999").await.unwrap_err(), "`99999` is no port");
    });
}
