//! The gateway between real clients and real backends on loopback.
#![cfg(test)]

mod admin;
mod backend;
mod cases;
mod deadlines;
mod descriptors;
mod front;
mod grpc;
mod health;
mod http;
mod independent;
mod limits;
mod operating;
mod process;
mod raw;
mod routing;
mod smuggling;
mod support;
mod transcoding;
mod transcoding_limits;
mod transcoding_streams;
mod websocket;
