//! What becomes of a request: a test for each number of the layer's list.

mod keys;
mod requests;
mod responses;
