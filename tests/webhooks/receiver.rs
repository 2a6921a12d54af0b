//! A small HTTP server that keeps what it is told, and says what the test wants.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::support::wait_until;
use crate::{DELIVERY, SECRET};

/// The status that stands for no answer at all.
pub const SILENCE: u16 = 0;
/// A status of success, with a body that does not end.
pub const ENDLESS: u16 = 299;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Method, target and version.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// What was answered.
    pub status: u16,
}

impl Request {
    /// The value of a header that must be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter().filter(|(known, _)| known == name);
        let value = headers.next().map(|(_, value)| value.as_str());
        value.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The events, which are those of its body.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.body).expect("the body is JSON");
        let events = body["events"].as_array().expect("a list of events");
        assert!(!events.is_empty(), "an empty request");
        events.clone()
    }

    /// As the documentation has it. Returns the time in the signature.
    #[track_caller]
    pub fn verified(&self, secret: &str) -> u64 {
        let value = self.header("ringpost-signature");
        let (time, signature) = value.split_once(',').expect("two parts");
        let time = time.strip_prefix("t=").expect("a time");
        let signature = signature.strip_prefix("v1=").expect("a signature");
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(format!("{time}.{}", self.body).as_bytes());
        let hex = |at| u8::from_str_radix(signature.get(at..at + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..signature.len()).step_by(2).map(hex).collect();
        let genuine = mac.verify_slice(&bytes.expect("pairs of hex digits"));
        assert!(genuine.is_ok(), "{self:?}");
        time.parse().expect("seconds")
    }
}

type Answer = dyn Fn(&Request) -> u16 + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

/// Listens until it is dropped, which also ends its connections.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    pub fn start(
        address: SocketAddr,
        answer: impl Fn(&Request) -> u16 + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            requests: Mutex::default(),
            connections: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let ours = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ours.ended.load(Ordering::SeqCst) {
                    return;
                }
                let clone = stream.try_clone().expect("a descriptor");
                lock(&ours.connections).push(clone);
                let ours = Arc::clone(&ours);
                thread::spawn(move || serve(&ours, &stream));
            }
        });
        Self {
            address,
            shared,
            thread: Some(thread),
        }
    }

    /// All requests so far, whatever was answered.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).len()
    }

    /// The events that were taken (answered 2xx), in the order in which they came.
    pub fn events(&self) -> Vec<Value> {
        let requests = self.requests();
        let taken = requests.iter().filter(|r| (200..300).contains(&r.status));
        taken.flat_map(Request::events).collect()
    }

    /// Those of one user.
    pub fn events_of(&self, user: &str) -> Vec<Value> {
        let all = self.events().into_iter();
        all.filter(|event| event["user"] == user).collect()
    }

    /// The events of a user, as soon as there are so many; there may not be more.
    #[track_caller]
    pub fn wait_for(&self, user: &str, count: usize) -> Vec<Value> {
        let what = format!("{count} events of {user} have come");
        wait_until(DELIVERY, &what, || self.events_of(user).len() >= count);
        let events = self.events_of(user);
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }

    /// Every request so far is signed.
    #[track_caller]
    pub fn verify(&self) {
        for request in self.requests() {
            request.verified(SECRET);
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // It waits for one more.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for connection in lock(&self.shared.connections).iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(shared: &Shared, stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(mut request)) = read(&mut reader) {
        request.status = (shared.answer)(&request);
        let status = request.status;
        lock(&shared.requests).push(request);
        if status == SILENCE {
            continue;
        }
        let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 2\r\n\r\nok");
        let answer = match status {
            204 => "HTTP/1.1 204 Said\r\n\r\n".to_owned(),
            ENDLESS => {
                let head = format!("HTTP/1.1 {status} Said\r\nTransfer-Encoding: chunked");
                format!("{head}\r\n\r\n2\r\nok\r\n")
            }
            _ => answer,
        };
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request; `None` at the end of the connection.
fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let headers: Vec<_> = (lines[1..].iter())
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut request = Request {
        line: lines.remove(0),
        headers,
        body: String::new(),
        status: SILENCE,
    };
    let length = request.header("content-length").parse();
    let mut body = vec![0; length.expect("a number")];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8(body).expect("the body is UTF-8");
    Ok(Some(request))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
