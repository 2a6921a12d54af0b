//! The targets of the fuzzer, which the test `fuzz_corpus` of the main package has, too.

#[path = "../../tests/fuzz_corpus/targets/mod.rs"]
pub mod targets;
