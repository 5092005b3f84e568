//! Sets the cfg under which the sources of `idem-runtime` take their locks, atomics, tasks and time
//! from [`sync.rs`](src/sync.rs): for this package alone, so that no other is built again for it.

fn main() {
    println!("cargo::rustc-cfg=idem_shuttle");
    println!("cargo::rerun-if-changed=build.rs");
}
