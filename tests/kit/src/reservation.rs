//! A port and a folder that no other server of any test process uses.
//!
//! Asking the system for "any free port" is not enough: a server that a test restarts must find its port free again, while other test
//! processes start servers all the time. So a port is held by a lock on a file that every process knows, for as long as the handle lives;
//! the system drops the lock when its process dies, however it dies. The folder of a port whose process was killed is removed by the next
//! process that comes by.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// Below the range from which systems take ports of outgoing connections, so that none of those sits on a server's port.
const PORTS: std::ops::Range<u16> = 12_000..28_000;

/// Holds a port and an empty folder until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    port: u16,
    dir: PathBuf,
    _lock: File,
}

impl Reservation {
    /// Takes a free port.
    pub(crate) fn take() -> Self {
        let root = root();
        let first = fastrand::u16(PORTS);
        (first..PORTS.end)
            .chain(PORTS.start..first)
            .find_map(|port| Self::take_port(root, port))
            .expect("no free port between 12000 and 28000")
    }

    fn take_port(root: &Path, port: u16) -> Option<Self> {
        let lock = lock_file(root, port)?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        let dir = root.join(port.to_string());
        remove_dir(&dir);
        fs::create_dir(&dir)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", dir.display()));
        Some(Self { port, dir, _lock: lock })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Before the lock goes, so that a later owner's folder is not the one removed. A panic here would hide the test's own.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The folder that all test processes of this user share.
pub(crate) fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let name = format!("idem-testkit-{}", nix::unistd::getuid());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root)
            .unwrap_or_else(|error| panic!("cannot create {}: {error}", root.display()));
        remove_abandoned(&root);
        root
    })
}

/// Removes the folders of processes that were killed before they could.
fn remove_abandoned(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let port = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(port) = port
            && let Some(_lock) = lock_file(root, port)
        {
            remove_dir(&entry.path());
        }
    }
}

/// The lock that whoever uses `port` holds, if nobody does.
fn lock_file(root: &Path, port: u16) -> Option<File> {
    let path = root.join(format!("{port}.lock"));
    // Never removed: a lock on a file that has lost its name excludes nobody.
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
    file.try_lock().is_ok().then_some(file)
}

fn remove_dir(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            panic!("cannot remove {}: {error}", dir.display())
        }
        _ => {}
    }
}
