//! Proofs, checkpoints, keys and envelopes of a launch record. Whatever the bytes are, reading must not panic; no proof but the
//! honest one leads to the root; nothing opens that the key did not sign.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tminus_record::dsse::Envelope;
use tminus_record::note::{Checkpoint, parse_verifier_line, verifier_line};
use tminus_record::tiles::{Tile, split_bundle};
use tminus_record::{Hash, SigningKey, merkle};

fuzz_target!(|bytes: &[u8]| {
    let key = SigningKey::from_seed([3; 32]);
    notes(bytes, &key);
    proofs(bytes);
});

fn notes(bytes: &[u8], key: &SigningKey) {
    if let Ok(read) = Checkpoint::open(bytes, &key.verifying_key()) {
        assert_eq!(read.sign(key).as_bytes(), bytes, "another spelling of a checkpoint");
    }
    if let Ok(envelope) = Envelope::from_bytes(bytes) {
        assert!(envelope.verify(&SigningKey::from_seed([4; 32]).verifying_key()).is_err());
        let _ = envelope.verify(&key.verifying_key());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok((origin, read)) = parse_verifier_line(text) {
            assert_eq!(verifier_line(&origin, &read), text, "another spelling of a key");
        }
        if let Some(tile) = Tile::parse(text) {
            assert_eq!(tile.path(), text, "another spelling of a tile");
        }
    }
    for width in [1, 2, 256] {
        if let Ok(entries) = split_bundle(bytes, width) {
            assert_eq!(entries.len(), usize::from(width));
        }
    }
}

/// Two sizes and a number from the first bytes; the rest is laid over the honest proof.
fn proofs(bytes: &[u8]) {
    let Some(([old, new, index], rest)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let new = u64::from(new % 70) + 1;
    let (old, index) = (u64::from(*old) % (new + 1), u64::from(*index) % new);
    let leaves: Vec<Hash> = (0..new).map(|n| merkle::leaf_hash(&n.to_be_bytes())).collect();
    let root = |size: u64| merkle::root(&leaves[..size as usize]);

    let honest = merkle::inclusion_proof(&leaves, index).expect("of a leaf");
    merkle::verify_inclusion(&leaves[index as usize], index, new, &honest, &root(new)).expect("honest");
    let forged = laid_over(&honest, rest);
    if forged != honest {
        let found = merkle::verify_inclusion(&leaves[index as usize], index, new, &forged, &root(new));
        assert!(found.is_err(), "{forged:?}");
    }
    let honest = merkle::consistency_proof(&leaves, old).expect("of a beginning");
    merkle::verify_consistency(old, new, &honest, &root(old), &root(new)).expect("honest");
    let forged = laid_over(&honest, rest);
    if forged != honest {
        let found = merkle::verify_consistency(old, new, &forged, &root(old), &root(new));
        assert!(found.is_err(), "{forged:?}");
    }
    // Any sizes at all.
    if let Some((sizes, rest)) = rest.split_first_chunk::<16>() {
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| sizes[at + i]));
        let proof = laid_over(&[], rest);
        let _ = merkle::verify_inclusion(&leaves[0], number(0), number(8), &proof, &root(new));
        let _ = merkle::verify_consistency(number(0), number(8), &proof, &root(old), &root(new));
    }
}

/// The first byte says how many hashes more or fewer there are.
fn laid_over(honest: &[Hash], bytes: &[u8]) -> Vec<Hash> {
    let (count, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let count = match count % 4 {
        0 | 1 => honest.len(),
        2 => honest.len() + 1,
        _ => honest.len().saturating_sub(1),
    };
    let at = |i: usize, j: usize| {
        let own = honest.get(i).map_or(0, |hash| hash[j]);
        own ^ bytes.get(i * 32 + j).copied().unwrap_or(0)
    };
    (0..count.max(bytes.len() / 32).min(80)).map(|i| std::array::from_fn(|j| at(i, j))).collect()
}
