//! Headless Chromium with one page, of which only the console is looked at.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::support::cluster::log_directory;

/// Where it is, if anywhere.
pub fn chromium() -> Option<PathBuf> {
    if let Ok(named) = std::env::var("RINGPOST_CHROMIUM") {
        return Some(PathBuf::from(named));
    }
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let folders = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    let all = folders
        .iter()
        .flat_map(|folder| names.iter().map(|name| folder.join(name)));
    all.into_iter().find(|path| path.is_file())
}

/// An open page.
pub struct Page {
    process: Child,
    log: PathBuf,
    directory: PathBuf,
}

impl Page {
    /// Serves these files at that address, and opens the first.
    pub fn open(chromium: &Path, ip: IpAddr, files: &[(&str, PathBuf)], query: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a free port");
        let at = listener.local_addr().expect("it is bound");
        let read = |(name, path): &(&str, PathBuf)| {
            (
                format!("/{name}"),
                fs::read_to_string(path).expect("it was written"),
            )
        };
        let files: Vec<_> = files.iter().map(read).collect();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A browser that goes away is no failure.
                let _ = answer(stream, &files);
            }
        });
        let directory = log_directory();
        let log = directory.join("browser.log");
        let mut command = Command::new(chromium);
        command.args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ]);
        command.args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ]);
        command.arg(format!(
            "--user-data-dir={}",
            directory.join("profile").display()
        ));
        command.args(["--remote-debugging-port=0", "--enable-logging=stderr"]);
        command.arg(format!("http://{at}/index.html{query}"));
        let output = File::create(&log).expect("it can be written to");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output);
        let process = command.spawn().expect("the browser starts");
        Self {
            process,
            log,
            directory,
        }
    }

    /// What the page has logged, a line each.
    pub fn printed(&self) -> String {
        let log = fs::read(&self.log).expect("it is there");
        let log = String::from_utf8_lossy(&log);
        let lines = log.lines().filter(|line| line.contains(":CONSOLE"));
        let said = lines.filter_map(|line| {
            let (_, rest) = line.split_once(" \"")?;
            Some(rest.rsplit_once("\", source:")?.0)
        });
        said.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        } else {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

fn answer(mut stream: TcpStream, files: &[(String, String)]) -> std::io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let target = first.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let file = files.iter().find(|(name, _)| name == path);
    let kind = match path.rsplit_once('.') {
        Some((_, "js")) => "text/javascript",
        _ => "text/html",
    };
    let (status, text) = file.map_or(("404 Not Found", ""), |(_, text)| ("200 OK", text));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n",
        text.len()
    );
    stream.write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes())
}
