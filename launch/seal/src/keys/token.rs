//! Keys in PKCS #11 tokens: the private key never leaves the device.

use std::fs;
use std::sync::Mutex;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use der::asn1::UintRef;
use der::{Encode as _, Sequence};
use sha2::{Digest as _, Sha256};

use super::{Algorithm, Ask, SealKey, TokenUri, algorithm_of};
use crate::{Certificate, SealError};

pub(super) struct TokenKey {
    chain: Vec<Certificate>,
    algorithm: Algorithm,
    /// A session is used by one thread at a time.
    session: Mutex<Session>,
    key: ObjectHandle,
    name: String,
    _module: Pkcs11,
}

#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

impl TokenKey {
    pub(super) fn open(
        uri: &TokenUri,
        certificates: Vec<Certificate>,
        ask: Ask<'_>,
    ) -> Result<Self, SealError> {
        let module = Pkcs11::new(&uri.module).map_err(|e| {
            SealError::Token(format!(
                "the module {} cannot be loaded: {e}; install it, or give another module-path",
                uri.module.display()
            ))
        })?;
        module
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .or_else(|error| match error {
                // Another key of this process is from the same module.
                Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _) => Ok(()),
                other => Err(other),
            })
            .map_err(|e| told("the module does not start", &e))?;
        let (slot, info) = slot(&module, uri)?;
        let name = info.label().trim().to_owned();
        let session = module
            .open_ro_session(slot)
            .map_err(|e| told(&format!("no session with `{name}`"), &e))?;
        log_in(&session, &info, &name, uri, ask)?;
        let key = key(&session, uri, &name)?;
        let chain = if certificates.is_empty() {
            certificates_of(&session, uri)?
        } else {
            certificates
        };
        let algorithm = algorithm_of(&chain)?;
        Ok(Self {
            chain,
            algorithm,
            session: Mutex::new(session),
            key,
            name,
            _module: module,
        })
    }
}

impl SealKey for TokenKey {
    fn chain(&self) -> &[Certificate] {
        &self.chain
    }

    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        let session = self
            .session
            .lock()
            .map_err(|_| SealError::Token("it is in use by a thread that has died".to_owned()))?;
        let failed = |e: &Error| {
            told(
                &format!(
                    "`{}` did not sign; nothing was sealed, and the document is as it was",
                    self.name
                ),
                e,
            )
        };
        match self.algorithm {
            Algorithm::Rsa => session
                .sign(&Mechanism::Sha256RsaPkcs, self.key, message)
                .map_err(|e| failed(&e)),
            Algorithm::EcdsaP256 => {
                // Not every module hashes for ECDSA; all take a digest.
                let raw = session
                    .sign(&Mechanism::Ecdsa, self.key, &Sha256::digest(message))
                    .map_err(|e| failed(&e))?;
                let (r, s) = raw.split_at(raw.len() / 2);
                let wrong = SealError::der("the token's signature");
                EcdsaSignature {
                    r: UintRef::new(r).map_err(&wrong)?,
                    s: UintRef::new(s).map_err(&wrong)?,
                }
                .to_der()
                .map_err(&wrong)
            }
        }
    }
}

fn slot(module: &Pkcs11, uri: &TokenUri) -> Result<(Slot, TokenInfo), SealError> {
    let slots = module
        .get_slots_with_token()
        .map_err(|e| told("no list of slots", &e))?;
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for slot in slots {
        let Ok(info) = module.get_token_info(slot) else {
            continue;
        };
        let label = info.label().trim().to_owned();
        let fits = uri.token.as_ref().is_none_or(|token| *token == label)
            && uri
                .serial
                .as_ref()
                .is_none_or(|serial| serial == info.serial_number().trim())
            && uri.slot_id.is_none_or(|id| id == slot.id());
        if fits && info.token_initialized() {
            found.push((slot, info));
        }
        seen.push(label);
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(SealError::Token(format!(
            "no token fits the address; there are: {}",
            seen.iter()
                .map(|label| format!("`{label}`"))
                .collect::<Vec<_>>()
                .join(", ")
        ))),
        _ => Err(SealError::Token(
            "more than one token fits the address; add token=LABEL or serial=NUMBER".to_owned(),
        )),
    }
}

/// One try, and none when it would be the last before the token locks itself.
fn log_in(
    session: &Session,
    info: &TokenInfo,
    name: &str,
    uri: &TokenUri,
    ask: Ask<'_>,
) -> Result<(), SealError> {
    if !info.login_required() {
        return Ok(());
    }
    if info.user_pin_locked() {
        return Err(SealError::Token(format!(
            "the PIN of `{name}` is locked; its security officer has to set a new one"
        )));
    }
    if info.user_pin_final_try() {
        return Err(SealError::Token(format!(
            "`{name}` allows one more try before it locks its PIN, and that is not risked here: log in with the token's own \
             tool first"
        )));
    }
    let pin = match &uri.pin_file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|e| SealError::KeyFile {
                path: path.clone(),
                why: format!("the PIN cannot be read: {e}"),
            })?;
            text.lines().next().unwrap_or_default().trim_end().to_owned()
        }
        None => ask(&format!("PIN of the token `{name}`")).map_err(SealError::Token)?,
    };
    match session.login(UserType::User, Some(&AuthPin::from(pin))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange, _)) => Err(SealError::Token(
            format!("the PIN of `{name}` is wrong; it was tried once and is not tried again"),
        )),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => Err(SealError::Token(format!(
            "the PIN of `{name}` is locked; its security officer has to set a new one"
        ))),
        Err(other) => Err(told(&format!("`{name}` lets nobody in"), &other)),
    }
}

fn template(class: ObjectClass, uri: &TokenUri) -> Vec<Attribute> {
    let mut template = vec![Attribute::Class(class)];
    template.extend(
        uri.object
            .as_ref()
            .map(|label| Attribute::Label(label.clone().into_bytes())),
    );
    template.extend(uri.id.clone().map(Attribute::Id));
    template
}

fn key(session: &Session, uri: &TokenUri, name: &str) -> Result<ObjectHandle, SealError> {
    let found = session
        .find_objects(&template(ObjectClass::PRIVATE_KEY, uri))
        .map_err(|e| told("no list of keys", &e))?;
    match found[..] {
        [one] => Ok(one),
        [] => Err(SealError::Token(format!(
            "`{name}` has no private key of that name"
        ))),
        _ => Err(SealError::Token(format!(
            "`{name}` has {} private keys of that name; add id=%… to the address",
            found.len()
        ))),
    }
}

fn certificates_of(session: &Session, uri: &TokenUri) -> Result<Vec<Certificate>, SealError> {
    let mut template = template(ObjectClass::CERTIFICATE, uri);
    template.push(Attribute::CertificateType(CertificateType::X_509));
    let found = session
        .find_objects(&template)
        .map_err(|e| told("no list of certificates", &e))?;
    let mut certificates = Vec::new();
    for object in found {
        let values = session
            .get_attributes(object, &[AttributeType::Value])
            .map_err(|e| told("a certificate cannot be read", &e))?;
        for value in values {
            if let Attribute::Value(der) = value {
                certificates.push(Certificate::from_der(&der)?);
            }
        }
    }
    Ok(certificates)
}

fn told(what: &str, error: &Error) -> SealError {
    let why = match error {
        Error::Pkcs11(code, _) => code.to_string(),
        other => other.to_string(),
    };
    SealError::Token(format!("{what}: {why}"))
}
