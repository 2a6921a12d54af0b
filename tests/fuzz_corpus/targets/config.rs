//! A configuration as far as the library reads it: the texts and numbers of a TOML file.

use hyper::Uri;
use hyper::header::HeaderValue;
use ringpost::Config;
use ringpost::core::handshake::{AllowedOrigin, redirect};
use ringpost::id::NodeId;

/// A TOML file. What is refused is refused with a sentence, and what passes is of use.
pub fn config(data: &[u8]) {
    let Some(table) =
        (std::str::from_utf8(data).ok()).and_then(|text| text.parse::<toml::Table>().ok())
    else {
        return;
    };
    let config = read(&table);
    if let Err(error) = config.check() {
        assert!(!error.key.is_empty() && !error.reason.is_empty());
        return;
    }
    for origin in &config.allowed_origins {
        let entry = origin.parse::<AllowedOrigin>();
        assert!(entry.is_ok(), "{origin}: {entry:?}");
    }
    if let Some(url) = &config.advertise_url {
        let target = redirect::target_url(url, "user=a&hop=1");
        assert!(HeaderValue::from_str(&target).is_ok(), "{url}");
        assert!(
            target
                .parse::<Uri>()
                .is_ok_and(|uri| uri.authority().is_some()),
            "{url}"
        );
    }
    for peer in config.seeds.iter().chain(&config.advertise_peer) {
        let port = peer.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        assert!(matches!(port, Some(Ok(1..))), "{peer}");
        assert!(
            !peer.contains(|c: char| c.is_control() || c.is_whitespace()),
            "{peer}"
        );
    }
}

fn read(table: &toml::Table) -> Config {
    let text = |key: &str| {
        table
            .get(key)
            .and_then(toml::Value::as_str)
            .map(str::to_owned)
    };
    let number = |key: &str| table.get(key).and_then(toml::Value::as_integer);
    let list = |key: &str| {
        let values = table.get(key).and_then(toml::Value::as_array);
        let texts = values.into_iter().flatten().filter_map(toml::Value::as_str);
        texts.map(str::to_owned).collect()
    };
    let id = text("id").and_then(|id| NodeId::new(&id).ok());
    let mut config = Config::new(id.unwrap_or_else(|| NodeId::new("n1").expect("a good id")));
    config.insecure_users = true;
    config.insecure_peers =
        table.get("insecure_peers").and_then(toml::Value::as_bool) == Some(true);
    config.cluster = text("cluster").unwrap_or(config.cluster);
    config.advertise_url = text("advertise_url");
    config.advertise_peer = text("advertise_peer");
    config.seeds = list("seeds");
    config.allowed_origins = list("allowed_origins");
    config.webhook.url = text("webhook_url");
    config.webhook.secret_file = text("webhook_secret_file").map(Into::into);
    for (key, address) in [
        ("listen", &mut config.listen),
        ("peer_listen", &mut config.peer_listen),
        ("admin_listen", &mut config.admin_listen),
    ] {
        *address = text(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or(*address);
    }
    let weight = number("weight").and_then(|weight| weight.try_into().ok());
    config.weight = weight.unwrap_or(config.weight);
    let bytes = number("max_message_bytes").and_then(|bytes| bytes.try_into().ok());
    config.limits.message_bytes_max = bytes.unwrap_or(config.limits.message_bytes_max);
    config
}
