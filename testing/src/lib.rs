//! Real servers for tests and benches: each on a free loopback port, in a folder of its own, gone when it
//! is dropped; and programs of others to compare ours with. A program that is missing is a failure that names its
//! package or the command that installs it, never a skipped test.

mod python;
mod python_folder;
mod redis;

pub use python::python;
pub use redis::{Fsync, RedisOptions, RedisServer};
