//! Clusters of simulated nodes over a simulated network: what the life of a cluster promises, for any
//! order of starts, losses, pauses, partitions and restarts.
//!
//! `RINGPOST_SIM_RUNS=1000` runs it for longer; `RINGPOST_SIM_SEED=7` runs one seed.

mod simulation;

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use simulation::{Op, Scenario, simulate};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// All nodes, each a while after the one before, in any order.
fn starts(rng: &mut StdRng, nodes: usize, apart_ms: u64) -> Vec<Op> {
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(rng);
    let mut ops = Vec::new();
    for node in order {
        ops.push(Op::Start(node));
        ops.push(Op::Wait(ms(rng.random_range(0..=apart_ms))));
    }
    ops.pop();
    ops
}

/// The nodes in groups, each with at least one.
fn groups(rng: &mut StdRng, nodes: usize, count: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..nodes).collect();
    order.shuffle(rng);
    let mut groups: Vec<Vec<usize>> = order[..count].iter().map(|node| vec![*node]).collect();
    for node in &order[count..] {
        groups[rng.random_range(0..count)].push(*node);
    }
    groups
}

#[test]
fn nodes_that_start_in_any_order_all_see_all_within_two_seconds() {
    let name = "nodes_that_start_in_any_order_all_see_all_within_two_seconds";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=20);
        let seeds = rng.random_range(1..=nodes.min(5));
        let apart = *[0, 50, 1500].choose(rng).unwrap();
        let starts = starts(rng, nodes, apart);
        Scenario::new(nodes, seeds).then(starts).then([
            Op::ExpectAgreement("all see all", secs(2)),
            Op::Wait(secs(10)),
            Op::ExpectQuiet(secs(10)),
        ])
    });
}

#[test]
fn fifty_nodes_with_as_many_seeds_see_each_other_within_two_seconds() {
    let name = "fifty_nodes_with_as_many_seeds_see_each_other_within_two_seconds";
    simulate(name, 100, |rng| {
        let apart = *[0, 100].choose(rng).unwrap();
        let starts = starts(rng, 50, apart);
        Scenario::new(50, 50).then(starts).then([
            Op::ExpectAgreement("all see all, 50 nodes", secs(2)),
            Op::Wait(secs(10)),
            Op::ExpectQuiet(secs(5)),
        ])
    });
}

#[test]
fn a_hundred_nodes_see_each_other_within_three_seconds() {
    let name = "a_hundred_nodes_see_each_other_within_three_seconds";
    simulate(name, 30, |rng| {
        let apart = *[0, 20].choose(rng).unwrap();
        let starts = starts(rng, 100, apart);
        Scenario::new(100, 5)
            .then(starts)
            .then([Op::ExpectAgreement("all see all, 100 nodes", secs(3))])
    });
}

#[test]
fn three_hundred_nodes_with_three_seeds_see_each_other() {
    let name = "three_hundred_nodes_with_three_seeds_see_each_other";
    simulate(name, 4, |rng| {
        let starts = starts(rng, 300, 0);
        Scenario::new(300, 3)
            .then(starts)
            .then([Op::ExpectAgreement("all see all, 300 nodes", secs(5))])
    });
}

#[test]
fn a_crash_is_known_everywhere_within_five_seconds() {
    let name = "a_crash_is_known_everywhere_within_five_seconds";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=12);
        let victim = rng.random_range(0..nodes);
        Scenario::new(nodes, 3).started(nodes).then([
            Op::Wait(ms(rng.random_range(0..10_000))),
            Op::Loss(rng.random_range(0..=1)),
            Op::Crash(victim),
            Op::ExpectAgreement("crash known", secs(5)),
            Op::Start(victim),
            Op::ExpectAgreement("it is back", secs(2)),
        ])
    });
}

#[test]
fn a_crash_among_fifty_is_known_everywhere_within_five_seconds() {
    let name = "a_crash_among_fifty_is_known_everywhere_within_five_seconds";
    simulate(name, 100, |rng| {
        Scenario::new(50, 3).started(50).then([
            Op::Crash(rng.random_range(0..50)),
            Op::ExpectAgreement("crash known, 50 nodes", secs(5)),
        ])
    });
}

#[test]
fn a_pause_of_a_second_changes_nothing() {
    let name = "a_pause_of_a_second_changes_nothing";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=12);
        let mut scenario = Scenario::new(nodes, 3).started(nodes).then([
            Op::Wait(secs(6)),
            Op::Loss(rng.random_range(0..=2)),
            Op::Watch,
        ]);
        for _ in 0..4 {
            let node = rng.random_range(0..nodes);
            scenario = scenario.then([
                Op::Stop(node),
                Op::Wait(ms(rng.random_range(300..=1000))),
                Op::Continue(node),
                Op::Wait(ms(rng.random_range(2000..5000))),
                Op::ExpectNoFalseAlarm,
            ]);
        }
        scenario
    });
}

#[test]
fn a_node_that_was_stopped_reads_its_packets_before_it_calls_anybody_dead() {
    let name = "a_node_that_was_stopped_reads_its_packets_before_it_calls_anybody_dead";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=4);
        let mut scenario = Scenario::new(nodes, 3).started(nodes);
        scenario = scenario.then([Op::Wait(secs(6)), Op::Watch]);
        for _ in 0..6 {
            // The second has begun to suspect the first when it stops, and learns that it was wrong
            // while it cannot read.
            scenario = scenario.then([
                Op::Stop(0),
                Op::Wait(ms(950)),
                Op::Stop(1),
                Op::Wait(ms(50)),
                Op::Continue(0),
                Op::Wait(ms(1550)),
                Op::Continue(1),
                Op::Wait(ms(rng.random_range(4000..5000))),
                Op::ExpectNoFalseAlarm,
            ]);
        }
        scenario
    });
}

#[test]
fn a_node_that_leaves_is_gone_within_a_second() {
    let name = "a_node_that_leaves_is_gone_within_a_second";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=9);
        Scenario::new(nodes, 3).started(nodes).then([
            Op::Wait(ms(rng.random_range(0..3000))),
            Op::Watch,
            Op::Leave(rng.random_range(0..nodes)),
            Op::ExpectAgreement("leave known", secs(1)),
            Op::Wait(secs(10)),
            Op::ExpectNoFalseAlarm,
            Op::ExpectQuiet(secs(5)),
        ])
    });
}

#[test]
fn a_node_of_fifty_that_leaves_is_gone_within_two_seconds() {
    let name = "a_node_of_fifty_that_leaves_is_gone_within_two_seconds";
    simulate(name, 100, |rng| {
        Scenario::new(50, 3).started(50).then([
            Op::Leave(rng.random_range(0..50)),
            Op::ExpectAgreement("leave known, 50 nodes", secs(2)),
        ])
    });
}

#[test]
fn a_draining_node_is_off_the_ring_within_a_second_and_still_a_member() {
    let name = "a_draining_node_is_off_the_ring_within_a_second_and_still_a_member";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=8);
        let node = rng.random_range(0..nodes);
        Scenario::new(nodes, 3).started(nodes).then([
            Op::Watch,
            Op::Drain(node),
            Op::ExpectAgreement("drain known", secs(1)),
            Op::Wait(secs(20)),
            Op::ExpectAgreement("drain still known", secs(1)),
            Op::ExpectSameGenerations,
            Op::Leave(node),
            Op::ExpectAgreement("leave known", secs(1)),
        ])
    });
}

#[test]
fn a_restarted_node_is_back_within_two_seconds_whatever_its_clock_says() {
    let name = "a_restarted_node_is_back_within_two_seconds_whatever_its_clock_says";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=12);
        let node = rng.random_range(0..nodes);
        let behind = ms(rng.random_range(1..=100_000_000));
        Scenario::new(nodes, nodes.min(3)).started(nodes).then([
            Op::Wait(ms(rng.random_range(0..3000))),
            Op::Start(node),
            Op::ExpectAgreement("restart known", secs(2)),
            Op::Wait(secs(3)),
            Op::Crash(node),
            Op::Wait(ms(rng.random_range(0..5000))),
            Op::StartBehind(node, behind),
            Op::ExpectAgreement("restart with an earlier clock known", secs(2)),
            Op::Wait(secs(12)),
            Op::ExpectQuiet(secs(5)),
        ])
    });
}

#[test]
fn of_two_processes_with_one_id_one_is_told_to_end() {
    let name = "of_two_processes_with_one_id_one_is_told_to_end";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=8);
        let of = rng.random_range(0..nodes);
        let wait = *[0, 10, 1000, 8000].choose(rng).unwrap();
        let mut scenario = Scenario::new(nodes + 1, 2);
        if rng.random() {
            scenario = scenario.started(nodes);
        } else {
            scenario = scenario.then((0..nodes).map(Op::Start));
        }
        scenario.then([
            Op::Wait(ms(wait)),
            Op::StartTwin { on: nodes, of },
            Op::ExpectAgreement("one of two ends", secs(5)),
            Op::ExpectReplaced(1),
            Op::Wait(secs(12)),
            Op::ExpectQuiet(secs(5)),
        ])
    });
}

#[test]
fn a_partition_of_any_shape_heals_within_ten_seconds() {
    let name = "a_partition_of_any_shape_heals_within_ten_seconds";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=12);
        let seeds = rng.random_range(1..=3);
        let shape = rng.random_range(2..=3);
        let groups = groups(rng, nodes, shape);
        let cut = if rng.random_bool(0.4) {
            Op::OneWay(groups[0].clone(), groups[1].clone())
        } else {
            Op::Split(groups)
        };
        Scenario::new(nodes, seeds).started(nodes).then([
            Op::Watch,
            cut,
            Op::Wait(ms(rng.random_range(500..60_000))),
            Op::Loss(*[0, 5].choose(rng).unwrap()),
            Op::Heal,
            Op::ExpectAgreement("heal", secs(10)),
            Op::ExpectSameGenerations,
            Op::Loss(0),
            Op::Wait(secs(8)),
            Op::ExpectQuiet(secs(5)),
        ])
    });
}

#[test]
fn a_partition_of_fifty_heals_within_ten_seconds() {
    let name = "a_partition_of_fifty_heals_within_ten_seconds";
    simulate(name, 30, |rng| {
        let groups = groups(rng, 50, 2);
        Scenario::new(50, 3).started(50).then([
            Op::Watch,
            Op::Split(groups),
            Op::Wait(secs(20)),
            Op::Heal,
            Op::ExpectAgreement("heal, 50 nodes", secs(10)),
            Op::ExpectSameGenerations,
        ])
    });
}

#[test]
fn a_minute_of_loss_takes_no_healthy_node_for_dead() {
    let name = "a_minute_of_loss_takes_no_healthy_node_for_dead";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=8);
        Scenario::new(nodes, 3).started(nodes).then([
            Op::Watch,
            Op::Loss(rng.random_range(0..=5)),
            Op::Wait(secs(60)),
            Op::ExpectNoFalseAlarm,
        ])
    });
}

#[test]
fn a_minute_of_loss_takes_none_of_a_hundred_healthy_nodes_for_dead() {
    let name = "a_minute_of_loss_takes_none_of_a_hundred_healthy_nodes_for_dead";
    simulate(name, 20, |rng| {
        Scenario::new(100, 5).started(100).then([
            Op::Watch,
            Op::Loss(*[5, 5, 1, 0].choose(rng).unwrap()),
            Op::Wait(secs(60)),
            Op::ExpectNoFalseAlarm,
        ])
    });
}

#[test]
fn whatever_happens_the_nodes_agree_in_the_end() {
    let name = "whatever_happens_the_nodes_agree_in_the_end";
    simulate(name, 1000, |rng| {
        let nodes = rng.random_range(3..=8);
        let seeds = rng.random_range(1..=3);
        let mut scenario = Scenario::new(nodes, seeds).then((0..nodes).map(Op::Start));
        let mut up = vec![true; nodes];
        for _ in 0..rng.random_range(5..25) {
            scenario = scenario.then(mishap(rng, &mut up));
            let wait = *[0, 300, 3000, 10_000].choose(rng).unwrap();
            scenario = scenario.then([Op::Wait(ms(wait))]);
        }
        // Who has never met anybody can be found only through a seed that runs.
        let dead_seeds = (0..seeds).filter(|seed| !up[*seed]);
        scenario.then(dead_seeds.map(Op::Start)).then([
            Op::Heal,
            Op::Loss(0),
            Op::ExpectAgreement("after anything", secs(10)),
            Op::Wait(secs(8)),
            Op::ExpectQuiet(secs(5)),
        ])
    });
}

fn mishap(rng: &mut StdRng, up: &mut [bool]) -> Vec<Op> {
    let node = rng.random_range(0..up.len());
    let kind = rng.random_range(0..10);
    let runs = up[node];
    match kind {
        0 if runs => {
            up[node] = false;
            vec![Op::Crash(node)]
        }
        1 if runs => {
            up[node] = false;
            vec![Op::Leave(node)]
        }
        0..=2 => {
            up[node] = true;
            vec![Op::Start(node)]
        }
        3 => {
            up[node] = true;
            vec![Op::StartBehind(node, ms(rng.random_range(1..1_000_000)))]
        }
        4 if runs => vec![Op::Drain(node)],
        5 | 6 if runs => {
            let pause = ms(rng.random_range(100..6000));
            vec![Op::Stop(node), Op::Wait(pause), Op::Continue(node)]
        }
        7 => vec![Op::Loss(rng.random_range(0..=20))],
        8 => {
            let groups = groups(rng, up.len(), 2);
            vec![Op::OneWay(groups[0].clone(), groups[1].clone())]
        }
        9 => {
            let count = rng.random_range(2..=3);
            vec![Op::Split(groups(rng, up.len(), count))]
        }
        _ => vec![Op::Heal],
    }
}
