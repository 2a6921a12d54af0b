//! The commands of the documents, in their order.

use std::time::{Duration, Instant};

use super::book::{Block, read};
use super::matching::shows;
use super::place::{Place, Running};
use super::support::http;
use super::support::wait::{PATIENCE, wait_until};
use super::support::{Cluster, View};

/// What a command, or the compiler that it starts, may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(180);

/// A command, and what is shown of its output.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    command: String,
    shown: String,
}

/// Those of a `console` block: each begins behind a `$`, and goes on behind a `\` and between quotes.
fn steps(block: &Block) -> Vec<Step> {
    if block.language == "sh" {
        return vec![Step {
            command: block.text.clone(),
            shown: String::new(),
        }];
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut goes_on = false;
    for line in block.text.lines() {
        let command = line.strip_prefix("$ ");
        match (command, steps.last_mut()) {
            (Some(command), _) => {
                let command = format!("{command}\n");
                steps.push(Step {
                    command,
                    shown: String::new(),
                });
            }
            (None, Some(step)) if goes_on => step.command.extend([line, "\n"]),
            (None, Some(step)) => step.shown.extend([line, "\n"]),
            (None, None) => panic!(
                "{}, line {}: output before a command",
                block.document, block.line
            ),
        }
        let quotes = steps
            .last()
            .map_or(0, |step| step.command.matches('\'').count());
        goes_on = (line.ends_with('\\') || quotes % 2 == 1) && (command.is_some() || goes_on);
    }
    steps
}

/// Runs all blocks of a document that are to be run.
fn run(name: &str, cluster: Cluster) {
    let mut place = Place::new(cluster);
    let mut started = Vec::new();
    for block in read(name).blocks {
        if block.has("no-test") {
            continue;
        }
        if let Some(file) = block.value("file") {
            place.write(file, &block.text);
            continue;
        }
        if block.language == "sh" || block.language == "console" {
            for step in steps(&block) {
                println!("{name}, line {}: {}", block.line, step.command.trim_end());
                if Place::can_run(&step.command) {
                    let step = with_pids(&place, &started, step);
                    run_step(&mut place, &block, &step);
                    let ids = ids_started(&step.command);
                    settle(&place, &ids);
                    started.extend(ids);
                    if step.command.starts_with("kill ") {
                        wait_for_its_end(&place, &started);
                    }
                }
            }
        }
    }
}

fn run_step(place: &mut Place, block: &Block, step: &Step) {
    let at = format!("{}, line {}: {}", block.document, block.line, step.command);
    let shown = place.localised(&step.shown);
    let mut running = place.start(&step.command);
    if block.has("until-output") {
        expect(&mut running, &at, |running| {
            let over = running.status().is_some();
            let there = shows(&running.output(), &shown);
            assert!(there || !over, "{at} has ended:\n{}", running.output());
            there
        });
        place.end(running);
        return;
    }
    let by = Instant::now() + 3 * PATIENCE;
    loop {
        expect(&mut running, &at, |running| running.status().is_some());
        let status = running.status().expect("it has ended");
        assert!(status.success(), "{at} {status}:\n{}", running.output());
        if shows(&running.output(), &shown) || !only_looks(&step.command) || Instant::now() > by {
            break;
        }
        running = place.start(&step.command);
    }
    // What runs in the background says what it says later.
    expect(&mut running, &at, |running| {
        shows(&running.output(), &shown)
    });
}

/// Whether a command only shows how things are. A reader would run it again: a client that has just gone may
/// still be known, and a busy machine makes a node suspect for a moment.
fn only_looks(command: &str) -> bool {
    let changes = [" -d ", " -X "].iter().any(|flag| command.contains(flag));
    command.starts_with("ringpost status ") || command.starts_with("curl ") && !changes
}

fn expect(running: &mut Running, at: &str, mut condition: impl FnMut(&mut Running) -> bool) {
    let over = super::support::wait::within(COMMAND_TIMEOUT, || condition(running));
    assert!(over.is_some(), "{at}:\n{}", running.output());
}

/// The jobs that a command names, as processes: each command has a shell of its own here.
fn with_pids(place: &Place, started: &[String], mut step: Step) -> Step {
    for (job, id) in (1..).zip(started) {
        let name = format!("%{job}\n");
        if step.command.starts_with("kill ") && step.command.contains(&name) {
            let pid = place.pid_of(id).expect("the node runs");
            step.command = step.command.replace(&name, &format!("{pid}\n"));
        }
    }
    step
}

/// The ids of the nodes that a command starts.
fn ids_started(command: &str) -> Vec<String> {
    let lines = command
        .lines()
        .filter(|line| line.starts_with("ringpost serve"));
    let ids = lines
        .filter(|line| !line.contains("--check"))
        .filter_map(|line| line.split("--id ").nth(1));
    ids.filter_map(|rest| rest.split_whitespace().next())
        .map(ToOwned::to_owned)
        .collect()
}

/// A reader of the document waits for what a script does not: that the nodes have found each other.
fn settle(place: &Place, ids: &[String]) {
    let number = |id: &String| {
        id.strip_prefix('n')
            .and_then(|number| number.parse::<usize>().ok())
    };
    let together: Vec<usize> = ids.iter().filter_map(number).collect();
    let what = "the nodes of the document see each other";
    wait_until(3 * PATIENCE, what, || {
        together.iter().all(|node| {
            let node = &place.cluster.nodes[node - 1];
            let ready = http::get(node.admin, "/readyz").is_ok_and(|answer| answer.status == 200);
            let sees_all = |view: View| ids.iter().all(|id| view.state(id) == "alive");
            ready && node.view().is_some_and(sees_all)
        })
    });
    // A node of a cluster of its own stands in the document as the fourth.
    if together.is_empty() && !ids.is_empty() {
        wait_until(3 * PATIENCE, "the node of the document is ready", || {
            let fourth = place.cluster.nodes[3].admin;
            http::get(fourth, "/readyz").is_ok_and(|answer| answer.status == 200)
        });
    }
}

/// The document says that the others take a killed node for down in a few seconds.
fn wait_for_its_end(place: &Place, started: &[String]) {
    let first = &place.cluster.nodes[0];
    let gone = |id: &&String| id.starts_with('n') && place.pid_of(id).is_none();
    wait_until(
        3 * PATIENCE,
        "a node that was killed is gone, and known to be",
        || {
            let mut gone = started.iter().filter(gone).peekable();
            gone.peek().is_some()
                && first
                    .view()
                    .is_some_and(|view| gone.all(|id| view.state(id) == "down"))
        },
    );
}

/// The document starts its nodes itself.
fn run_from_nothing(name: &str) {
    run(name, Cluster::reserve(4));
}

/// The document takes three nodes for granted.
fn run_at_three_nodes(name: &str) {
    run(name, Cluster::of(3, &[]));
}

#[test]
fn the_readme_does_what_it_says() {
    run_from_nothing("README.md");
}

#[test]
fn the_first_ten_minutes_go_as_they_are_told() {
    run_from_nothing("docs/start.md");
}

#[test]
fn the_commands_of_the_protocol_reference_work() {
    run_at_three_nodes("docs/protocol.md");
}

#[test]
fn the_commands_for_operators_work() {
    run_at_three_nodes("docs/operations.md");
}

#[test]
fn the_calls_of_backends_work() {
    run_at_three_nodes("docs/backends.md");
}

#[test]
fn the_commands_of_the_other_documents_work() {
    for name in [
        "docs/migrating.md",
        "docs/configuration.md",
        "docs/library.md",
        "docs/load.md",
    ] {
        run_at_three_nodes(name);
    }
}

#[test]
fn the_clients_of_the_snippets_print_what_is_shown() {
    run_at_three_nodes("docs/snippets.md");
}
