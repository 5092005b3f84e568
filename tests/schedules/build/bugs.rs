//! Mistakes in the order of things, such as somebody could make, woven into the copy under a switch that is off.

use super::Change;

/// A mistake, by the name under which tests switch it on.
pub(crate) struct Bug {
    pub(crate) file: &'static str,
    pub(crate) changes: &'static [Change],
}

pub(crate) const BUGS: &[Bug] = &[
    // A change between the look and the wait is missed.
    Bug {
        file: "engine/flight.rs",
        changes: &[Change {
            from: "            let changed = self.changed.notified();\n",
            to: r#"            if crate::bug::is("looks before it registers") {
                if let Some(found) = reached(&self.phase.lock()) {
                    return found;
                }
                self.changed.notified().await;
                continue;
            }
            let changed = self.changed.notified();
"#,
        }],
    },
    Bug {
        file: "engine/flight.rs",
        changes: &[
            Change {
                from: "        self.awaited.store(true, Ordering::SeqCst);\n",
                to: r#"        if !crate::bug::is("looks before it says that it waits") {
            self.awaited.store(true, Ordering::SeqCst);
        }
"#,
            },
            Change {
                from: "            changed.await;\n",
                to: "            self.awaited.store(true, Ordering::SeqCst);\n            changed.await;\n",
            },
        ],
    },
    Bug {
        file: "engine/flight.rs",
        changes: &[Change {
            from: "            *phase = end;\n            drop(phase);\n            self.notify();\n",
            to: r#"            *phase = end;
            drop(phase);
            if !crate::bug::is("leaves without waking") {
                self.notify();
            }
"#,
        }],
    },
    Bug {
        file: "engine/flight.rs",
        changes: &[Change {
            from: "            matches!(*phase, Phase::Running { .. }) && !self.settling.load(Ordering::Acquire);\n",
            to: r#"            matches!(*phase, Phase::Running { .. })
                && (crate::bug::is("believes a renewal that met its own end")
                    || !self.settling.load(Ordering::Acquire));
"#,
        }],
    },
    Bug {
        file: "engine/guard.rs",
        changes: &[Change {
            from: "                self.inner.flights.leave(self.flight, || Phase::Abandoned);\n",
            to: r#"                if !crate::bug::is("goes away and stays on the list") {
                    self.inner.flights.leave(self.flight, || Phase::Abandoned);
                }
"#,
        }],
    },
    Bug {
        file: "engine/guard.rs",
        changes: &[Change {
            from: "        in_background(self.inner, self.flight, settlement, deadline, delivery);\n",
            to: r#"        if crate::bug::is("forgets what it has claimed") {
            self.inner.flights.leave(self.flight, || Phase::Abandoned);
            return;
        }
        in_background(self.inner, self.flight, settlement, deadline, delivery);
"#,
        }],
    },
    Bug {
        file: "engine/renewal.rs",
        changes: &[Change {
            from: "            runtimes.iter().for_each(|(_, wake)| wake.notify_one());\n",
            to: r#"            if !crate::bug::is("does not wake the keeper") {
                runtimes.iter().for_each(|(_, wake)| wake.notify_one());
            }
"#,
        }],
    },
    Bug {
        file: "storage/memory.rs",
        changes: &[Change {
            from: "        let written = self.0.apply(&complete.key, complete)?;\n",
            to: r#"        if crate::bug::is("wakes before it writes") {
            self.0.watchers.wake(complete.key.as_str());
            return self.0.apply(&complete.key, complete);
        }
        let written = self.0.apply(&complete.key, complete)?;
"#,
        }],
    },
    Bug {
        file: "storage/watch.rs",
        changes: &[Change {
            from: "            keys.remove(&self.key);\n",
            to: r#"            if crate::bug::is("removes a key that somebody came to") {
                drop(keys);
                keys = self.watchers.0.keys.lock();
            }
            keys.remove(&self.key);
"#,
        }],
    },
];
