//! What arrives over the bus: whether it is the next message of its link, and who is told of it.

use std::sync::Arc;

use prost::Message as _;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior},
};

use super::{Bus, Read, Receiver};
use crate::{
    Instance, Timing, View,
    figures::count,
    links::Header,
    message::{Beat, Body, Envelope, Reset},
};

/// A message above this size is refused unread (bytes). The largest, a game view, has some kilobytes.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;

pub(super) struct Incoming<R> {
    pub(super) bus: Bus,
    pub(super) receiver: Arc<R>,
    pub(super) view: watch::Receiver<View>,
    pub(super) timing: Timing,
}

impl<R: Receiver> Incoming<R> {
    pub(super) async fn run(mut self, mut read: mpsc::Receiver<Read>) {
        let mut beat = tokio::time::interval(self.timing.every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = self.bus.0.clone();
        loop {
            tokio::select! {
                message = read.recv() => match message {
                    Some(Read::Message(bytes)) => self.on_bytes(&bytes),
                    Some(Read::Broken) => {
                        let peers = shared.state().links.reset_all();
                        self.tell_resets(&peers);
                    }
                    None => return,
                },
                () = shared.resets.notified() => self.tell_waiting_resets(),
                _ = beat.tick() => self.beat(),
                changed = self.view.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.beat();
                }
            }
        }
    }

    /// Says that this node is there, and notices who does not.
    fn beat(&mut self) {
        let view = self.view.borrow_and_update().clone();
        let me = &self.bus.0.me;
        for peer in view.alive.iter().filter(|peer| *peer != me) {
            let _ = self.bus.send(peer, Body::Beat(Beat {}));
        }
        let mut state = self.bus.0.state();
        let mut lost = state.links.silent(Instant::now(), self.timing.time_to_live);
        if view.settled {
            lost.extend(state.links.retain(|peer| view.alive.contains(peer)));
        }
        drop(state);
        self.tell_resets(&lost);
    }

    fn tell_waiting_resets(&self) {
        let resets = std::mem::take(&mut self.bus.0.state().resets);
        self.tell_resets(&resets);
    }

    fn tell_resets(&self, peers: &[Instance]) {
        for peer in peers {
            count(&self.bus.0.figures.resets);
            tracing::info!(node = %peer, "the link to a node begins anew");
            self.receiver.on_reset(peer);
        }
    }

    fn on_bytes(&self, bytes: &[u8]) {
        let figures = &self.bus.0.figures;
        let Some((from, header, body)) = decode(bytes) else {
            count(&figures.refused);
            tracing::warn!(bytes = bytes.len(), "a message that is none was refused");
            return;
        };
        if from == self.bus.0.me {
            return;
        }
        let (waiting, verdict) = {
            let mut state = self.bus.0.state();
            let verdict = state.links.on_message(&from, header, Instant::now());
            (std::mem::take(&mut state.resets), verdict)
        };
        // Before anything that comes after them.
        self.tell_resets(&waiting);
        if verdict.lost {
            count(&figures.resets);
            tracing::info!(node = %from, "the link from a node begins anew");
        }
        if verdict.reset {
            self.receiver.on_reset(&from);
        }
        if verdict.tell {
            let _ = self.bus.send(&from, Body::Reset(Reset {}));
        }
        if !verdict.take {
            count(&figures.refused);
            tracing::debug!(node = %from, ?header, "a message out of turn was refused");
            return;
        }
        count(&figures.received);
        match body {
            Body::Beat(_) | Body::Reset(_) => {}
            Body::Leaving(_) => {
                self.receiver.on_leaving(&from);
                let mut state = self.bus.0.state();
                state.links.reset(&from, true);
                drop(state);
                self.receiver.on_reset(&from);
            }
            body => self.receiver.on_message(&from, body),
        }
    }
}

fn decode(bytes: &[u8]) -> Option<(Instance, Header, Body)> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let envelope = Envelope::decode(bytes).ok()?;
    let header = Header {
        epoch: envelope.epoch,
        peer_epoch: envelope.peer_epoch,
        sequence: envelope.sequence,
    };
    let is_name = (1..=64).contains(&envelope.from.len());
    let from = is_name.then(|| envelope.from.as_str().into())?;
    // Epochs and numbers count from 1.
    (header.epoch > 0 && header.sequence > 0).then_some(())?;
    Some((from, header, envelope.body?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{Frame, Open};

    fn envelope() -> Envelope {
        Envelope {
            from: "0123456789abcdef".into(),
            epoch: 1,
            peer_epoch: 2,
            sequence: 3,
            body: Some(Body::Frame(Frame {
                session_id: 7,
                frame: b"frame".to_vec(),
            })),
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let good = envelope();
        assert!(decode(&good.encode_to_vec()).is_some());
        let wrong: [fn(&mut Envelope); 5] = [
            |envelope| envelope.from.clear(),
            |envelope| envelope.from = "x".repeat(65),
            |envelope| envelope.epoch = 0,
            |envelope| envelope.sequence = 0,
            |envelope| envelope.body = None,
        ];
        for spoil in wrong {
            let mut envelope = good.clone();
            spoil(&mut envelope);
            assert!(decode(&envelope.encode_to_vec()).is_none(), "{envelope:?}");
        }
        let mut large = good;
        large.body = Some(Body::Frame(Frame {
            session_id: 7,
            frame: vec![0; MESSAGE_BYTES_MAX],
        }));
        assert!(decode(&large.encode_to_vec()).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_message_with_changed_bytes_is_decoded_or_refused(
            place in 0..64_usize, byte in any::<u8>(), cut in 0..64_usize,
        ) {
            let mut bytes = envelope().encode_to_vec();
            let length = bytes.len();
            bytes[place % length] = byte;
            bytes.truncate(length - cut % length);
            let _ = decode(&bytes);
        }

        #[test]
        fn every_message_comes_back_as_it_was(session_id in any::<u64>(), player_id in "[a-z0-9-]{0,40}", epoch in 1..u64::MAX) {
            let body = Body::Open(Open { session_id, player_id });
            let sent = Envelope { epoch, body: Some(body.clone()), ..envelope() };
            let (from, header, got) = decode(&sent.encode_to_vec()).unwrap();
            prop_assert_eq!(&*from, sent.from.as_str());
            prop_assert_eq!(header.epoch, epoch);
            prop_assert_eq!(got, body);
        }
    }
}
