//! Makes an operation take effect once.
