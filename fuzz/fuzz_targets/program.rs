#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pmrun_fuzz::run("program", bytes));
