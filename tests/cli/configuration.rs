//! Help, precedence and refusals.

use std::path::PathBuf;

use crate::{output, ringpost};

/// A file that is gone when the test ends.
struct TomlFile(PathBuf);

impl TomlFile {
    fn new(name: &str, text: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("{name}-{}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for TomlFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const CHECK: &str = "serve --check --id n1 --insecure-users";

#[test]
fn help_of_every_command_has_an_example_and_every_flag_its_default() {
    let (code, text, _) = output(&mut ringpost("--help"));
    assert_eq!(code, 0);
    for command in ["serve", "demo", "locate", "status", "send"] {
        assert!(text.contains(command), "{command}");
        let (code, text, _) = output(&mut ringpost(&format!("{command} --help")));
        assert_eq!(code, 0);
        assert!(
            text.contains(&format!("ringpost {command} --")),
            "{command} has no example"
        );
    }
    let (_, text, _) = output(&mut ringpost("serve --help"));
    for words in [
        "RINGPOST_SUSPICION_TIMEOUT",
        "Default: 1.5s",
        "Failure detector",
        "TOML",
    ] {
        assert!(text.contains(words), "{words}");
    }
    assert_eq!(
        text.matches("Default: ").count(),
        81,
        "one for every flag but --id and --check"
    );
}

#[test]
fn the_version_is_that_of_the_package() {
    let (code, text, _) = output(&mut ringpost("--version"));
    assert_eq!(
        (code, text.trim()),
        (0, concat!("ringpost ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let file = TomlFile::new(
        "precedence",
        "id = 'from-file'\nweight = 2\ndrain_timeout = 7\nrebalance_rate = 5\n\
         seeds = ['127.0.0.1:7101', 'localhost:7102']\ninsecure_users = true\n",
    );
    let (code, text, error) = output(
        ringpost("serve --check --weight 4 --config")
            .arg(&file.0)
            .env("RINGPOST_WEIGHT", "3")
            .env("RINGPOST_REBALANCE_RATE", "50"),
    );
    assert_eq!(code, 0, "{error}");
    assert!(text.starts_with("# ok"), "{text}");
    for line in [
        "id = \"from-file\"  # ",
        "weight = 4  # flag",
        "rebalance_rate = 50  # RINGPOST_REBALANCE_RATE",
        "drain_timeout = \"7s\"  # ",
        "seeds = [\"127.0.0.1:7101\", \"localhost:7102\"]",
        "probe_period = \"250ms\"\n",
    ] {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
}

#[test]
fn the_printed_configuration_is_a_configuration_file() {
    let (_, first, _) = output(&mut ringpost(&format!("{CHECK} --probe-timeout 0.2")));
    let file = TomlFile::new("again", &first);
    let (code, second, error) = output(ringpost("serve --check").env("RINGPOST_CONFIG", &file.0));
    assert_eq!(code, 0, "{error}");
    let values = |text: &str| -> toml::Table { text.parse().unwrap() };
    assert_eq!(values(&first), values(&second));
}

#[test]
fn the_secret_of_webhooks_is_not_printed() {
    let secret = TomlFile::new("secret", "correct horse battery staple\n");
    let mut command = ringpost(&format!("{CHECK} --webhook-url http://127.0.0.1:1/hook"));
    command.args(["--webhook-events", "connected,inbox_full"]);
    command.arg("--webhook-secret-file").arg(&secret.0);
    let (code, text, error) = output(&mut command);
    assert_eq!((code, without_warnings(&error)), (0, String::new()));
    assert!(!error.contains("horse"), "{error}");
    assert!(
        text.contains("webhook_url = \"http://127.0.0.1:1/hook\"  # flag"),
        "{text}"
    );
    assert!(
        text.contains("webhook_events = [\"connected\", \"inbox_full\"]"),
        "{text}"
    );
    assert!(!text.contains("horse"), "{text}");
    let again = TomlFile::new("secret-again", &text);
    let (code, _, error) = output(ringpost("serve --check --config").arg(&again.0));
    assert_eq!((code, without_warnings(&error)), (0, String::new()));
}

/// What else stands on standard error.
fn without_warnings(error: &str) -> String {
    let lines = error.lines();
    let others = lines.filter(|line| !line.starts_with("# warning: "));
    others.collect()
}

#[test]
fn what_cannot_work_is_refused_in_one_sentence_with_exit_code_2() {
    for (line, words) in [
        ("serve", "--id|required"),
        (
            "serve --id n1",
            "--insecure-users|--jwt-keys|--jwt-secret-file",
        ),
        ("serve --id n/1 --insecure-users", "--id = \"n/1\"|A-Z"),
        ("--weight 0", "--weight = 0|1 to 64"),
        ("--weight 65", "--weight = 65|1 to 64"),
        ("--weight many", "--weight = many|whole number"),
        ("--weight -1", "--weight = -1|whole number"),
        (
            "--listen localhost:1",
            "--listen = localhost:1|127.0.0.1:7001",
        ),
        (
            "--listen 0.0.0.0:7001",
            "--listen = 0.0.0.0:7001|--advertise-url",
        ),
        ("--listen [::]:7001", "--advertise-url"),
        (
            "--peer-listen 0.0.0.0:7101 --insecure-peers",
            "--peer-listen|--advertise-peer",
        ),
        (
            "--peer-listen 10.0.0.1:7101",
            "--peer-listen|--insecure-peers",
        ),
        (
            "--admin-listen 0.0.0.0:7201",
            "--admin-listen|--insecure-peers",
        ),
        (
            "--advertise-url http://a",
            "--advertise-url = http://a|ws or wss",
        ),
        ("--advertise-url ws://", "host"),
        ("--advertise-url ws://a?b", "query"),
        ("--advertise-url ws://a#b", "fragment"),
        ("--advertise-url ws://u@a", "user"),
        ("--seeds a:1,b", "--seeds = b|port"),
        (
            "--suspicion-timeout 499ms",
            "--suspicion-timeout = 499ms|two probe periods",
        ),
        (
            "--probe-timeout 1 --probe-period 1s",
            "--probe-timeout = 1s|--probe-period",
        ),
        ("--replicas 0", "--replicas = 0|1 to 5"),
        ("--replicas 256", "--replicas = 256|2^8"),
        (
            "--replicas 1 --min-copies 2",
            "--min-copies = 2|--replicas, 1",
        ),
        (
            "--max-inbox-bytes 65535",
            "--max-inbox-bytes = 65535|--max-message-bytes, 65536",
        ),
        (
            "--max-node-inbox-bytes 1000000",
            "--max-node-inbox-bytes = 1000000|--max-inbox-bytes",
        ),
        (
            "--dedupe-window 10s",
            "--dedupe-window = 10s|two request time-outs, 30s",
        ),
        ("--inbox-age 721h", "--inbox-age|1ms to 720h"),
        ("--max-header-bytes 4096", "--max-header-bytes = 4096|8192"),
        (
            "--max-message-bytes 0",
            "--max-message-bytes = 0|at least 1",
        ),
        ("--handshake-timeout 0", "--handshake-timeout = 0ns|1ms"),
        ("--drain-timeout soon", "--drain-timeout = soon|30s"),
        (
            "--insecure-peers=perhaps",
            "--insecure-peers = perhaps|true or false",
        ),
        (
            "--redirect-location relative",
            "scheme-relative or absolute",
        ),
        ("--log-format xml", "text or json"),
        (
            "--config no-such-file",
            "--config = no-such-file|cannot be read",
        ),
    ] {
        assert_refused(line, words);
    }
}

#[test]
fn webhooks_that_cannot_work_are_refused() {
    for (line, words) in [
        (
            "--webhook-url https://hooks.example/",
            "--webhook-url = https://hooks.example/|TLS comes in a later version",
        ),
        (
            "--webhook-url http://hooks.example/",
            "--webhook-secret-file|required",
        ),
        (
            "--webhook-secret-file no-such-file",
            "--webhook-secret-file = no-such-file|no use without --webhook-url",
        ),
        (
            "--webhook-url http://hooks.example/ --webhook-secret-file no-such-file",
            "--webhook-secret-file = no-such-file|cannot be read",
        ),
        (
            "--webhook-events connected,gone",
            "--webhook-events = connected,gone|offline_message",
        ),
    ] {
        assert_refused(line, words);
    }
}

/// Exit code 2, and one sentence with all of these words.
#[track_caller]
fn assert_refused(line: &str, words: &str) {
    let line = if line.starts_with("serve") {
        line.into()
    } else {
        format!("{CHECK} {line}")
    };
    let (code, out, error) = output(&mut ringpost(&line));
    assert_eq!((code, out.as_str()), (2, ""), "{line}: {error}");
    for word in words.split('|') {
        assert!(error.contains(word), "{line}: {error:?} without {word:?}");
    }
    assert_eq!(error.trim().lines().count(), 1, "{line}: {error}");
}

#[test]
fn a_refusal_says_which_file_or_variable_a_value_is_from() {
    let file = TomlFile::new("places", "weight = 0\n");
    let (code, _, error) = output(ringpost(&format!("{CHECK} --config")).arg(&file.0));
    assert_eq!(code, 2);
    assert!(
        error.contains("(weight in ") && error.contains("places-"),
        "{error}"
    );
    for (value, words) in [("0", "1 to 64"), ("many", "whole number")] {
        let (code, _, error) = output(ringpost(CHECK).env("RINGPOST_WEIGHT", value));
        assert_eq!(code, 2);
        assert!(
            error.contains("(RINGPOST_WEIGHT)") && error.contains(words),
            "{error}"
        );
    }
}

#[test]
fn a_file_with_an_unknown_key_or_no_toml_is_refused() {
    let file = TomlFile::new("unknown", "id = 'n1'\nseed = ['a:1']\n");
    let (code, _, error) = output(ringpost("serve --check --config").arg(&file.0));
    assert_eq!(code, 2);
    assert!(
        error.contains("seed = [\"a:1\"]") && error.contains("seeds would do"),
        "{error}"
    );
    let file = TomlFile::new("broken", "id = 'n1'\nweight 3\n");
    let (code, _, error) = output(ringpost("serve --check --config").arg(&file.0));
    assert_eq!(code, 2);
    assert!(error.contains("line 2"), "{error}");
    assert_eq!(error.trim().lines().count(), 1, "{error}");
}

#[test]
fn an_unknown_flag_is_exit_code_2() {
    assert_eq!(output(&mut ringpost("serve --colour red")).0, 2);
    assert_eq!(output(&mut ringpost("frobnicate")).0, 2);
    assert_eq!(output(&mut ringpost("locate --node ftp://a alice")).0, 2);
    assert_eq!(output(&mut ringpost("demo --nodes 0")).0, 2);
    assert_eq!(output(&mut ringpost("demo --nodes 9")).0, 2);
}
