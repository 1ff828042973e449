//! Real servers for tests and benches: each on a free loopback port, in a folder of its own, gone when it
//! is dropped. A program that is missing is a failure that names its package, never a skipped test.

mod redis;

pub use redis::{Fsync, RedisOptions, RedisServer};
