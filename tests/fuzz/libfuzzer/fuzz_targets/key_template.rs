#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| idem_fuzz::feed("key_template", bytes));
