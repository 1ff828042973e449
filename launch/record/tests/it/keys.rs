//! Key files: only their owner may read them, and nothing overwrites them.

use std::fs;

use tminus_record::{KeyError, SigningKey, VerifyingKey};

#[cfg(unix)]
#[test]
fn a_stored_key_is_its_owners_alone_and_loads_again() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("launch.pem");
    let key = SigningKey::from_seed([8; 32]);
    key.store_new(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        SigningKey::load(&path).unwrap().verifying_key(),
        key.verifying_key()
    );
    for mode in [0o640, 0o604, 0o660, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = SigningKey::load(&path).unwrap_err();
        assert!(matches!(error, KeyError::Readable { .. }));
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

#[test]
fn storing_never_overwrites_and_creating_is_done_once() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("launch.pem");
    let first = SigningKey::load_or_create(&path, || [1; 32]).unwrap();
    let again = SigningKey::load_or_create(&path, || panic!("a key is there")).unwrap();
    assert_eq!(first.verifying_key(), again.verifying_key());
    assert!(matches!(
        SigningKey::from_seed([2; 32]).store_new(&path),
        Err(KeyError::Io { .. })
    ));
    assert_eq!(
        SigningKey::load(&path).unwrap().verifying_key(),
        first.verifying_key()
    );
}

#[test]
fn what_is_no_key_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("launch.pem");
    SigningKey::from_seed([1; 32]).store_new(&path).unwrap();
    fs::write(
        &path,
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    assert!(matches!(SigningKey::load(&path), Err(KeyError::NotAKey { .. })));
    assert!(VerifyingKey::from_base64("AAAA").is_err());
    assert!(VerifyingKey::from_base64(&format!("{}=", "A".repeat(42))).is_err());
}

#[test]
fn the_key_id_is_the_digest_of_the_public_key_s_standard_form() {
    // RFC 8032, test 1: secret and public key.
    let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let key = SigningKey::from_seed(hex::decode(secret).unwrap().try_into().unwrap()).verifying_key();
    assert_eq!(
        hex::encode(key.to_bytes()),
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
    assert_eq!(VerifyingKey::from_base64(&key.to_base64()).unwrap(), key);
    assert_eq!(key.key_id().len(), 64);
    assert!(!format!("{:?}", SigningKey::from_seed([9; 32])).contains("090909"));
}
