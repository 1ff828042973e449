//! What only the journal in Redis does.
