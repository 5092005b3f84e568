use idempotency::idempotent;

unsafe extern "C" {
    #[idempotent(key = "print")]
    fn printf(format: *const std::ffi::c_char, ...) -> std::ffi::c_int;
}

fn main() {}
