use std::time::Duration;

use clap::Args;
use proptest::prelude::*;
use ringpost::config::InboxConfig;

use super::*;

const FILE: &str = "ringpost.toml";

fn file(text: &str) -> Result<(Settings, Sources), String> {
    from_table(toml::from_str(text).unwrap(), Path::new(FILE))
}

fn flags(line: &str) -> (Settings, Sources) {
    let words = std::iter::once("serve").chain(line.split_whitespace());
    let command = Settings::augment_args(Command::new("serve"));
    let matches = command.try_get_matches_from(words).unwrap();
    let settings = <Settings as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
    let sources = sources_of(&matches);
    (settings, sources)
}

fn checked(line: &str, toml: &str) -> Result<Effective, String> {
    let (said, sources) = flags(line);
    let (from_file, in_file) = file(toml)?;
    let sources = in_file.into_iter().chain(sources).collect();
    effective(said.or(from_file), sources, None)
}

const USABLE: &str = "--id n1 --insecure-users";

#[test]
fn a_flag_beats_the_file_which_beats_the_default() {
    let both = checked(
        &format!("{USABLE} --weight 3"),
        "weight = 2\ndrain_timeout = 5\nseeds = ['a:1', 'b:2']\nallowed_origins = 'http://a'",
    )
    .unwrap();
    assert_eq!(both.config.weight, 3);
    assert_eq!(both.config.drain_timeout, Duration::from_secs(5));
    assert_eq!(both.config.seeds, ["a:1", "b:2"]);
    assert_eq!(both.config.allowed_origins, ["http://a"]);
    assert_eq!(both.config.rebalance_rate, 100);
    assert_eq!(both.sources.get("weight"), Some(&Source::Flag));
    assert_eq!(both.sources.get("seeds"), Some(&Source::File(FILE.into())));
    assert_eq!(both.sources.get("rebalance_rate"), None);
}

#[test]
fn what_is_kept_for_users_is_set_as_everything_else() {
    let both = checked(
        &format!("{USABLE} --replicas 3 --inbox-age 720h --max-inbox-messages 7"),
        "replicas = 2\nmin_copies = 2\nmax_inbox_bytes = 70000\ndedupe_window = '30m'\n\
         max_dedupe_ids = 9\nmax_node_inbox_bytes = 80000\nmax_pending_sends = 5",
    )
    .unwrap();
    assert_eq!((both.config.replicas, both.config.min_copies), (3, 2));
    let inbox = InboxConfig {
        messages_max: 7,
        bytes_max: 70_000,
        age_max: Duration::from_secs(30 * 24 * 60 * 60),
        dedupe_window: Duration::from_secs(30 * 60),
        dedupe_ids_max: 9,
        node_bytes_max: 80_000,
    };
    assert_eq!(both.config.inbox, inbox);
    assert_eq!(both.config.limits.pending_sends_max, 5);
    let printed = both.to_toml();
    assert!(
        printed.contains("inbox_age = \"720h\"  # flag"),
        "{printed}"
    );
    assert!(printed.contains("dedupe_window = \"30m\""), "{printed}");
}

#[test]
fn a_switch_can_be_turned_off_over_the_file() {
    let error = checked("--id n1 --insecure-users=false", "insecure_users = true").unwrap_err();
    assert!(error.starts_with("--insecure-users = false:"), "{error}");
}

#[test]
fn a_refusal_is_one_sentence_with_the_key_the_value_and_what_would_do() {
    for (line, toml, words) in [
        ("--insecure-users", "", "--id: it is required|n1"),
        (
            "--insecure-users",
            "id = 'a b'",
            "--id = \"a b\"|id in ringpost.toml|would do",
        ),
        (
            "--id n1",
            "",
            "--insecure-users = false|--jwt-keys|--jwt-secret-file",
        ),
        (
            USABLE,
            "weight = 0",
            "--weight = 0|weight in ringpost.toml|1 to 64",
        ),
        (USABLE, "weight = 70000", "--weight = 70000|2^16"),
        (USABLE, "weight = -1", "--weight = -1|whole number"),
        (USABLE, "weight = [1]", "--weight = [1]|a number"),
        (USABLE, "seed = []", "seed = []|no such key|seeds would do"),
        (
            USABLE,
            "peer-listen = 'x'",
            "peer-listen = |peer_listen would do",
        ),
        (
            USABLE,
            "colour = 'red'",
            "colour = \"red\"|no such key|ringpost serve --help",
        ),
        (
            USABLE,
            "listen = 'localhost'",
            "--listen = \"localhost\"|127.0.0.1:7001",
        ),
        (USABLE, "seeds = [1]", "--seeds = [1]|string"),
        (
            USABLE,
            "drain_timeout = 'soon'",
            "--drain-timeout = \"soon\"|30s",
        ),
        (
            USABLE,
            "redirect_location = '//'",
            "--redirect-location = \"//\"|absolute",
        ),
        (
            USABLE,
            "log_format = 'xml'",
            "--log-format = \"xml\"|text or json",
        ),
        (
            "--id n1 --insecure-users --suspicion-timeout 400ms",
            "",
            "= 400ms|two probe periods, 500ms",
        ),
        (
            USABLE,
            "replicas = 3\nmin_copies = 4",
            "--min-copies = 4|min_copies in ringpost.toml|--replicas, 3",
        ),
        (USABLE, "replicas = 300", "--replicas = 300|2^8"),
        (
            USABLE,
            "request_timeout = '6m'",
            "--dedupe-window = 600s|two request time-outs, 720s",
        ),
        (
            "--id n1 --insecure-users --listen 0.0.0.0:7001",
            "",
            "= 0.0.0.0:7001|--advertise-url",
        ),
        (
            "--id n1 --insecure-users --advertise-url http://a",
            "",
            "= http://a|ws or wss",
        ),
        (
            USABLE,
            "webhook_events = ['connected', 'gone']",
            "--webhook-events = connected,gone|\"gone\"|inbox_full",
        ),
    ] {
        let error = checked(line, toml).unwrap_err();
        for word in words.split('|') {
            assert!(
                error.contains(word),
                "{line} {toml}: {error:?} without {word:?}"
            );
        }
        assert!(!error.contains('\n'), "{error:?}");
    }
}

#[test]
fn a_printed_configuration_is_a_file_that_says_the_same() {
    let line = format!(
        "{USABLE} --seeds a:1,b:2 --advertise-url wss://n1 --probe-timeout 0.2 --log-format json \
         --redirect-location absolute --drain-timeout 0 --inbox-age 36h"
    );
    let first = checked(&line, "").unwrap().to_toml();
    let second = checked("", &first).unwrap().to_toml();
    assert_eq!(
        first.replace("  # flag", ""),
        second.replace("  # ringpost.toml", "")
    );
}

#[test]
fn every_setting_is_printed_under_its_key_and_has_an_environment_variable() {
    let effective = checked(USABLE, "").unwrap();
    let printed: Vec<_> = effective.values().into_iter().map(|(key, _)| key).collect();
    assert_eq!(printed, keys());
    for argument in Settings::augment_args(Command::new("serve")).get_arguments() {
        let key = argument.get_id().as_str();
        assert_eq!(argument.get_long(), Some(key.replace('_', "-").as_str()));
        let variable = format!("RINGPOST_{}", key.to_uppercase());
        assert_eq!(argument.get_env(), Some(variable.as_ref()), "{key}");
    }
}

#[test]
fn the_help_gives_the_default_that_is_used() {
    let effective = checked(USABLE, "").unwrap();
    let command = Settings::augment_args(Command::new("serve"));
    for (key, value) in effective.values() {
        let argument = command
            .get_arguments()
            .find(|argument| argument.get_id() == key)
            .unwrap();
        let help = argument.get_help().unwrap().to_string();
        let Some(value) = value else { continue };
        if matches!(
            key,
            "id" | "seeds"
                | "allowed_origins"
                | "announced_rooms"
                | "exempt_networks"
                | "insecure_users"
                | "webhook_events"
        ) {
            continue;
        }
        let shown = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        assert!(
            help.ends_with(&format!("Default: {shown}")),
            "{key} = {shown}: {help}"
        );
    }
}

/// Values that somebody may put behind any key.
fn any_value() -> impl Strategy<Value = toml::Value> {
    let text = prop_oneof![
        any::<String>(),
        "[0-9]{1,20}(ns|us|ms|s|m|h|d|ki?b|mi?b)?",
        "(wss?|https?)://[a-z*.\\[\\]:0-9/@?#-]{0,20}",
        "[a-z0-9.:\\[\\]/,-]{0,20}",
    ]
    .prop_map(toml::Value::String);
    let one = prop_oneof![
        text,
        any::<i64>().prop_map(toml::Value::Integer),
        (0..100_i64).prop_map(toml::Value::Integer),
        any::<f64>().prop_map(toml::Value::Float),
        any::<bool>().prop_map(toml::Value::Boolean),
    ];
    one.prop_recursive(2, 8, 4, |inner| {
        let table = proptest::collection::btree_map("[a-z_]{1,8}", inner.clone(), 0..3);
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(toml::Value::Array),
            table.prop_map(|table| toml::Value::Table(table.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_a_file_says_is_taken_or_refused_in_one_sentence_that_names_a_key(
        said in proptest::collection::vec((any::<prop::sample::Index>(), any_value()), 1..4),
    ) {
        let keys = keys();
        let table: toml::Table = said
            .into_iter()
            .map(|(key, value)| (keys[key.index(keys.len())].clone(), value))
            .collect();
        let usable = toml::Table::from_iter([
            ("id".to_owned(), "n1".into()),
            ("insecure_users".to_owned(), true.into()),
        ]);
        let table = usable.into_iter().chain(table).collect();
        let read = from_table(table, Path::new(FILE))
            .and_then(|(settings, sources)| effective(settings, sources, None));
        if let Err(sentence) = read {
            prop_assert!(!sentence.contains(char::is_control), "{}", sentence);
            let named = |key: &String| sentence.starts_with(&format!("--{}", key.replace('_', "-")));
            prop_assert!(keys.iter().any(named), "{}", sentence);
        }
    }
}
