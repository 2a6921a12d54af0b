//! What the fuzzer found worth keeping, again, and 10,000 random changes of it, so that every `cargo
//! test` goes where the fuzzer has been.
//!
//! `RINGPOST_FUZZ_SEED` gives other changes than the usual ones. What makes a target panic is written
//! to a file, which goes into the corpus once that is mended.

mod targets;

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use targets::{TARGETS, Target};

const CHANGES: usize = 10_000;
const SEED: u64 = 5;

/// The files of a target, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let listed =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = listed
        .map(|entry| entry.expect("it can be listed").path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).expect("it can be read"))
        .collect()
}

fn run((name, target): Target, data: &[u8]) {
    if let Err(panicked) = panic::catch_unwind(AssertUnwindSafe(|| target(data))) {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
        std::fs::write(&kept, data).expect("the build's directory can be written to");
        eprintln!("{name} panicked over what is now in {}", kept.display());
        panic::resume_unwind(panicked);
    }
}

#[test]
fn all_that_is_in_the_corpus_is_taken() {
    for target in TARGETS {
        let files = corpus(target.0);
        assert!(!files.is_empty(), "no corpus for {}", target.0);
        for file in files {
            run(target, &file);
        }
        run(target, &[]);
    }
}

#[test]
fn random_changes_of_the_corpus_are_taken() {
    let seed =
        std::env::var("RINGPOST_FUZZ_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    println!("RINGPOST_FUZZ_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for target in TARGETS {
        let files = corpus(target.0);
        for _ in 0..CHANGES / TARGETS.len() {
            let mut data = files[random.random_range(0..files.len())].clone();
            for _ in 0..random.random_range(1..=4) {
                let other = &files[random.random_range(0..files.len())];
                change(&mut data, other, &mut random);
            }
            run(target, &data);
        }
    }
}

/// One change: of a bit or a byte, or a piece left out, doubled, or taken from another file.
fn change(data: &mut Vec<u8>, other: &[u8], random: &mut StdRng) {
    const PIECE_BYTES_MAX: usize = 32;
    let piece = |of: &[u8], random: &mut StdRng| {
        let start = random.random_range(0..=of.len());
        let end = of
            .len()
            .min(start + random.random_range(0..=PIECE_BYTES_MAX));
        start..end
    };
    let at = random.random_range(0..=data.len());
    match random.random_range(0..6) {
        0 if at < data.len() => data[at] ^= 1 << random.random_range(0..8),
        1 if at < data.len() => data[at] = random.random(),
        2 => data.truncate(at),
        3 => drop(data.drain(piece(data, random))),
        4 => {
            let doubled = data[piece(data, random)].to_vec();
            data.splice(at..at, doubled);
        }
        _ => {
            let taken = other[piece(other, random)].to_vec();
            data.splice(at..at, taken);
        }
    }
}
