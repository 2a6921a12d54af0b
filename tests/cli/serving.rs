//! `serve`: the ready line, signals, exit codes.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use crate::support::process::{Killed, first_line};
use crate::support::{Cluster, PATIENCE, wait_until};
use crate::{output, ringpost};

/// A started node, killed when the test ends.
pub struct Serving {
    process: Killed,
    pub ready: serde_json::Value,
}

impl Serving {
    pub fn start(more: &str) -> Self {
        Self::run(&mut Self::command(more))
    }

    fn command(more: &str) -> Command {
        let line = format!(
            "serve --id n1 --insecure-users --listen 127.0.0.1:0 --peer-listen 127.0.0.1:0 \
             --admin-listen 127.0.0.1:0 {more}"
        );
        ringpost(&line)
    }

    fn run(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = Killed(child.unwrap());
        let ready = first_line(process.0.stdout.take().unwrap());
        Self {
            process,
            ready: serde_json::from_str(&ready).unwrap(),
        }
    }

    fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_until(2 * PATIENCE, "it has ended", || {
            status = self.process.0.try_wait().unwrap();
            status.is_some()
        });
        status?.code()
    }

    fn signal(&self, name: &str) {
        let id = self.process.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

#[cfg(unix)]
#[test]
fn a_node_says_where_it_listens_and_drains_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        // Its standard output is closed as soon as the line was read.
        let mut node = Serving::start("--drain-timeout 1s");
        let field = |key: &str| node.ready[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(node.ready["ready"], true);
        assert_eq!(field("id"), "n1");
        let admin = field("admin");
        for address in [
            field("url").strip_prefix("ws://").unwrap(),
            &field("peer"),
            &admin,
        ] {
            TcpStream::connect(address).unwrap();
        }
        node.signal(signal);
        assert_eq!(node.exit_code(), Some(0));
    }
}

#[cfg(unix)]
#[test]
fn a_closed_standard_output_and_error_do_not_end_a_node() {
    // One that nobody else is given.
    let cluster = Cluster::reserve(1);
    let port = cluster.nodes[0].listen;
    let mut command = ringpost(&format!(
        "serve --id n1 --insecure-users --listen {port} --peer-listen 127.0.0.1:0 \
         --admin-listen 127.0.0.1:0 --drain-timeout 1s"
    ));
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let mut node = Serving {
        process: Killed(child),
        ready: serde_json::Value::Null,
    };
    wait_until(2 * PATIENCE, "it listens", || {
        assert!(node.process.0.try_wait().unwrap().is_none(), "it has ended");
        TcpStream::connect(port).is_ok()
    });
    node.signal("-TERM");
    assert_eq!(node.exit_code(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_port_that_is_taken_is_a_sentence_and_exit_code_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap();
    let line = format!(
        "serve --id n1 --insecure-users --peer-listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
         --listen {taken}"
    );
    let (code, out, error) = output(&mut ringpost(&line));
    assert_eq!((code, out.as_str()), (1, ""), "{error}");
    assert!(error.contains(&taken.to_string()), "{error}");
    drop(listener);
}

/// systemd's side of `Type=notify`: what a node says, one datagram after the other.
#[cfg(target_os = "linux")]
fn heard(socket: &std::os::unix::net::UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_why_a_node_is_not_ready_then_that_it_is_and_then_that_it_drains() {
    use std::os::unix::net::UnixDatagram;

    // Below the build's own directory the path could be too long for a socket.
    let name = format!("ringpost-notify-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    // Somebody accepts and says nothing: a seed that does not answer.
    let seed = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("--drain-timeout 1s --seeds {}", seed.local_addr().unwrap());
    let mut node = Serving::run(Serving::command(&more).env("NOTIFY_SOCKET", &path));

    assert_eq!(heard(&socket), "STATUS=no other node has answered yet\n");
    let mut last = heard(&socket);
    while last.starts_with("STATUS=") {
        last = heard(&socket);
    }
    assert_eq!(last, "READY=1\nSTATUS=ready\n");
    node.signal("-TERM");
    assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=draining\n");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(node.exit_code(), Some(0));
}
