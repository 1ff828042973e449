//! The gateway between real clients and real backends on loopback.
#![cfg(test)]

mod admin;
mod backend;
mod deadlines;
mod grpc;
mod http;
mod limits;
mod process;
mod raw;
mod routing;
mod support;
mod websocket;
