//! `ringpost status`: a cluster as one node sees it, once or (`watch`) again and again.

mod watch;

use std::path::Path;
use std::process::ExitCode;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use ringpost::client::http;
use serde::Deserialize;
use tokio::time::timeout;

use super::Outcome;
use super::args::StatusArgs;
use super::output::{print, printable};
use super::table::table;

#[derive(Deserialize)]
struct Cluster {
    node: String,
    digest: String,
    sessions: u64,
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    generation: u64,
    state: String,
    draining: bool,
    url: String,
    peer: String,
    weight: u64,
    /// Of the ring, 0 to 1.
    share: f64,
}

/// Asks and prints.
pub async fn run(args: StatusArgs) -> Outcome {
    if args.watch {
        return watch::run(&args).await;
    }
    let body = ask(&args, "/v1/cluster").await?;
    if args.json {
        print(&String::from_utf8_lossy(&body));
        return Ok(ExitCode::SUCCESS);
    }
    let cluster: Cluster = serde_json::from_slice(&body)
        .map_err(|error| format!("the answer of {} is not understood: {error}", args.node))?;
    print(&shown(&cluster));
    Ok(ExitCode::SUCCESS)
}

/// The body of an answer that came in time.
async fn ask(args: &StatusArgs, path: &str) -> Result<bytes::Bytes, String> {
    let late = || format!("no answer of {} within {:?}", args.node, args.timeout.0);
    timeout(args.timeout.0, get(args, path))
        .await
        .map_err(|_| late())?
}

async fn get(args: &StatusArgs, path: &str) -> Result<bytes::Bytes, String> {
    let key = args
        .api_key_file
        .as_deref()
        .map(authorization)
        .transpose()?;
    let answer = http::get_as(&args.node, path, key)
        .await
        .map_err(|error| error.to_string())?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        StatusCode::NOT_FOUND => Err(format!(
            "{} has no {path}; status takes an admin address (--admin-listen of the node)",
            args.node
        )),
        StatusCode::UNAUTHORIZED => Err(format!(
            "{} wants a key: give --api-key-file, one that is in its --api-keys-file",
            args.node
        )),
        _ => Err(format!("{} answered {}", args.node, answer.sentence())),
    }
}

/// What proves that this may be asked: the first line of the file.
fn authorization(path: &Path) -> Result<HeaderValue, String> {
    let refuse = |reason: String| format!("--api-key-file = {}: {reason}", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(format!("it cannot be read ({error})")))?;
    let key = text.lines().map(str::trim).find(|line| !line.is_empty());
    let key = key.ok_or_else(|| refuse("there is no key in it".to_owned()))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| refuse("its key cannot stand in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn shown(cluster: &Cluster) -> String {
    let rows: Vec<_> = cluster
        .members
        .iter()
        .map(|member| {
            [
                member.id.clone(),
                member.state.clone(),
                if member.draining { "yes" } else { "no" }.to_owned(),
                member.generation.to_string(),
                member.weight.to_string(),
                format!("{:.1}%", member.share * 100.0),
                member.url.clone(),
                member.peer.clone(),
            ]
        })
        .collect();
    let headings = [
        "ID",
        "STATE",
        "DRAINING",
        "GENERATION",
        "WEIGHT",
        "SHARE",
        "URL",
        "PEER",
    ];
    let Cluster {
        node,
        digest,
        sessions,
        ..
    } = cluster;
    let (node, digest) = (printable(node), printable(digest));
    format!(
        "{}\nseen by   {node}\ndigest    {digest}\nsessions  {sessions}",
        table(headings, &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_a_table_with_its_digest_and_sessions_below() {
        let cluster: Cluster = serde_json::from_str(
            r#"{"node":"n1","digest":"00ab","sessions":7,"members":[
                {"id":"n1","generation":1732350000123,"state":"alive","draining":false,
                 "url":"ws://127.0.0.1:7001","peer":"127.0.0.1:7101","weight":1,"share":0.334,
                 "under_replicated":0},
                {"id":"n22","generation":5,"state":"suspect","draining":true,
                 "url":"ws://a","peer":"b:1","weight":2,"share":0.666}]}"#,
        )
        .unwrap();
        let text = shown(&cluster);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "ID   STATE    DRAINING  GENERATION     WEIGHT  SHARE  URL                  PEER"
        );
        assert_eq!(
            lines[1],
            "n1   alive    no        1732350000123  1       33.4%  ws://127.0.0.1:7001  127.0.0.1:7101"
        );
        assert_eq!(
            lines[2],
            "n22  suspect  yes       5              2       66.6%  ws://a               b:1"
        );
        assert_eq!(
            lines[4..],
            ["seen by   n1", "digest    00ab", "sessions  7"]
        );
    }
}
