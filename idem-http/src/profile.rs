//! The rules that the layer follows.

use http::StatusCode;

use crate::problem::ProblemKind;

/// The rules that the layer follows: the statuses of its problems, the longest key, and which
/// responses are stored.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) requires_key: bool,
    pub(crate) max_key_len: usize,
    pub(crate) stores: fn(StatusCode) -> bool,
    statuses: Vec<(ProblemKind, StatusCode)>,
}

impl Profile {
    /// The last version of the expired IETF draft, draft-ietf-httpapi-idempotency-key-header-07: a
    /// key is required, and the same key with another request is a 422. Every response is stored,
    /// except 401, 408, 425, 429 and 5xx: these say that nothing was done, or that another attempt
    /// may succeed.
    pub fn ietf() -> Self {
        let stores = |status: StatusCode| {
            !(status.is_server_error() || matches!(status.as_u16(), 401 | 408 | 425 | 429))
        };
        Self { requires_key: true, max_key_len: 255, stores, statuses: Vec::new() }
    }

    /// The behaviour of Stripe's API: the key is optional, the same key with another request is a
    /// 400, and a 500 is stored like a success. 401, 408, 425, 429 and 503 release the key.
    pub fn stripe() -> Self {
        let stores = |status: StatusCode| !matches!(status.as_u16(), 401 | 408 | 425 | 429 | 503);
        Self { requires_key: false, stores, ..Self::ietf() }
            .status(ProblemKind::KeyReused, StatusCode::BAD_REQUEST)
    }

    /// Another status for a problem.
    #[must_use]
    pub fn status(mut self, problem: ProblemKind, status: StatusCode) -> Self {
        self.statuses.retain(|(kind, _)| *kind != problem);
        self.statuses.push((problem, status));
        self
    }

    /// The longest key in bytes, without its quotes. Default: 255; at most 500.
    #[must_use]
    pub fn max_key_len(mut self, bytes: usize) -> Self {
        self.max_key_len = bytes.min(MAX_KEY_LEN);
        self
    }

    /// Which responses are stored, by their status. The others release the key, so that the next
    /// request is handled again.
    #[must_use]
    pub fn stores(mut self, stores: fn(StatusCode) -> bool) -> Self {
        self.stores = stores;
        self
    }

    pub(crate) fn status_of(&self, problem: ProblemKind) -> StatusCode {
        let other = self.statuses.iter().find(|(kind, _)| *kind == problem);
        other.map_or_else(|| problem.status(), |(_, status)| *status)
    }
}

/// Leaves room for what the layer puts in front of a key.
const MAX_KEY_LEN: usize = 500;

impl Default for Profile {
    fn default() -> Self {
        Self::ietf()
    }
}
