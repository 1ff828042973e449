//! Addresses of keys in tokens (RFC 7512), as far as a seal needs them.

use std::path::PathBuf;

use crate::SealError;

/// `pkcs11:token=launch;object=seal?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/pin`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenUri {
    /// Label of the token.
    pub token: Option<String>,
    pub serial: Option<String>,
    pub slot_id: Option<u64>,
    /// Label of the key.
    pub object: Option<String>,
    /// `CKA_ID` of the key.
    pub id: Option<Vec<u8>>,
    /// The module, by its file.
    pub module: PathBuf,
    /// A file whose first line is the PIN.
    pub pin_file: Option<PathBuf>,
}

impl TokenUri {
    /// # Errors
    /// What is wrong with it, with the attribute. `pin-value` is refused: addresses are seen by others.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let wrong = |why: String| SealError::Uri(why);
        let rest = text
            .strip_prefix("pkcs11:")
            .ok_or_else(|| wrong("expected pkcs11:…".to_owned()))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut uri = Self::default();
        let pairs = path.split(';').map(|pair| (pair, false));
        let pairs = pairs.chain(query.split('&').map(|pair| (pair, true)));
        for (pair, in_query) in pairs.filter(|(pair, _)| !pair.is_empty()) {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| wrong(format!("`{pair}` has no value")))?;
            let bytes = decoded(value).ok_or_else(|| wrong(format!("`{name}`: a `%` without two digits")))?;
            let text =
                || String::from_utf8(bytes.clone()).map_err(|_| wrong(format!("`{name}` is not UTF-8")));
            match (name, in_query) {
                ("token", false) => uri.token = Some(text()?),
                ("serial", false) => uri.serial = Some(text()?),
                ("object", false) => uri.object = Some(text()?),
                ("id", false) => uri.id = Some(bytes),
                ("slot-id", false) => {
                    let number = text()?
                        .parse()
                        .map_err(|_| wrong("`slot-id` is no number".to_owned()))?;
                    uri.slot_id = Some(number);
                }
                ("type", false) if bytes == b"private" => {}
                ("type", false) => return Err(wrong("`type` must be `private`".to_owned())),
                // The token's own words about itself; the label or the serial number is what selects.
                (
                    "manufacturer"
                    | "model"
                    | "library-manufacturer"
                    | "library-description"
                    | "library-version",
                    false,
                ) => {}
                ("module-path", true) => uri.module = PathBuf::from(text()?),
                ("pin-source", true) => {
                    let source = text()?;
                    uri.pin_file = Some(PathBuf::from(source.strip_prefix("file:").unwrap_or(&source)));
                }
                ("pin-value", true) => {
                    return Err(wrong(
                        "`pin-value` would show the PIN to everybody who can list processes; use pin-source=file:PATH, or \
                         leave it out to be asked"
                            .to_owned(),
                    ));
                }
                ("module-name", true) => {
                    return Err(wrong(
                        "`module-name` is not looked up; give module-path=/path/to/module.so".to_owned(),
                    ));
                }
                _ => return Err(wrong(format!("`{name}` is not known here"))),
            }
        }
        if uri.module.as_os_str().is_empty() {
            return Err(wrong(
                "it names no module; add ?module-path=/path/to/module.so (SoftHSM: \
                 /usr/lib/softhsm/libsofthsm2.so)"
                    .to_owned(),
            ));
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(wrong("it names no key; add object=LABEL or id=%01".to_owned()));
        }
        Ok(uri)
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let mut one = [0];
            hex::decode_to_slice(digits, &mut one).ok()?;
            bytes.push(one[0]);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads() {
        let uri = TokenUri::parse(
            "pkcs11:token=launch%20keys;object=seal;id=%01%ff;type=private?module-path=/lib/m.so&pin-source=file:/run/pin",
        )
        .unwrap();
        assert_eq!(uri.token.as_deref(), Some("launch keys"));
        assert_eq!(uri.object.as_deref(), Some("seal"));
        assert_eq!(uri.id, Some(vec![1, 255]));
        assert_eq!(uri.module, PathBuf::from("/lib/m.so"));
        assert_eq!(uri.pin_file, Some(PathBuf::from("/run/pin")));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, says) in [
            ("pkcs12:x", "expected pkcs11:"),
            ("pkcs11:object=a", "names no module"),
            ("pkcs11:token=a?module-path=/m.so", "names no key"),
            (
                "pkcs11:object=a?module-path=/m.so&pin-value=1234",
                "would show the PIN",
            ),
            ("pkcs11:object=%4?module-path=/m.so", "without two digits"),
            ("pkcs11:object=%ff?module-path=/m.so", "not UTF-8"),
            (
                "pkcs11:object=a;color=red?module-path=/m.so",
                "`color` is not known",
            ),
            ("pkcs11:object?module-path=/m.so", "has no value"),
            ("pkcs11:object=a;type=cert?module-path=/m.so", "must be `private`"),
        ] {
            let error = TokenUri::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("1234"), "{error}");
        }
    }
}
