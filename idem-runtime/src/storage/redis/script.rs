//! The scripts, and the two ways to call them.
//!
//! A call goes by the script's hash. A server that does not know it (restarted, failed over,
//! flushed) answers `NOSCRIPT` without having done anything, and the same call is repeated with the
//! script's text, which also makes the server remember it.

use once_cell::sync::Lazy;
use redis::{Cmd, Script};

/// One of our scripts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lua {
    Claim,
    Complete,
    Load,
    Probe,
    Release,
    Renew,
}

struct ScriptSource {
    text: &'static str,
    hash: String,
}

static SOURCES: Lazy<[ScriptSource; 6]> = Lazy::new(|| {
    let texts = [
        include_str!("lua/claim.lua"),
        include_str!("lua/complete.lua"),
        include_str!("lua/load.lua"),
        include_str!("lua/probe.lua"),
        include_str!("lua/release.lua"),
        include_str!("lua/renew.lua"),
    ];
    texts.map(|text| ScriptSource { text, hash: Script::new(text).get_hash().to_owned() })
});

impl Lua {
    #[cfg(test)]
    pub(super) const ALL: [Self; 6] =
        [Self::Claim, Self::Complete, Self::Load, Self::Probe, Self::Release, Self::Renew];

    fn source(self) -> &'static ScriptSource {
        &SOURCES[self as usize]
    }

    pub(super) fn hash(self) -> &'static str {
        &self.source().hash
    }

    pub(super) fn text(self) -> &'static str {
        self.source().text
    }

    /// A call by the script's hash, on one record.
    pub(super) fn by_hash(self, key: &str, args: &[&[u8]]) -> Cmd {
        call("EVALSHA", &self.source().hash, key, args)
    }

    /// The same call with the script's text.
    pub(super) fn by_text(self, key: &str, args: &[&[u8]]) -> Cmd {
        call("EVAL", self.source().text, key, args)
    }
}

fn call(verb: &str, script: &str, key: &str, args: &[&[u8]]) -> Cmd {
    let size: usize = args.iter().map(|arg| arg.len()).sum();
    let mut cmd = Cmd::with_capacity(4 + args.len(), 16 + script.len() + key.len() + size);
    cmd.arg(verb).arg(script).arg(1).arg(key).arg(args);
    cmd
}
