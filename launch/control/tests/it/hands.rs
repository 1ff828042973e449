//! What a gate is given to run by itself: nobody watches, and nobody stops it.

use std::sync::Arc;

use tminus_control::board::SharedBoard;
use tminus_control::gates::{Approvals, Hands};
use tminus_control::wall::SystemWall;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub fn hands() -> Hands {
    let (steps, _) = mpsc::channel(1);
    Hands {
        stop: CancellationToken::new(),
        board: SharedBoard::new(),
        steps,
        approvals: Approvals::channel().0,
        wall: Arc::new(SystemWall),
    }
}
