//! Real servers, a fault proxy and an execution ledger.
