//! JSON objects, as express-session, Django's JSON serializer and redistore's JSONSerializer write them.

use serde_json::Value;

use super::{Found, SessionError};
use crate::json;

pub fn find(value: &[u8], field: &str) -> Result<Option<Found>, SessionError> {
    // A member that stands twice is refused anywhere: a writer and this reader could each mean another one.
    let object =
        json::object(value).map_err(|_| SessionError::Malformed("no JSON object with each member once"))?;
    Ok(object.get(field).map(|value| match value {
        Value::String(text) => Found::Text(text.clone().into_bytes()),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Found::Signed(number),
            (None, Some(number)) => Found::Unsigned(number),
            // 1.0 and 1e3: another reader could write them in another way.
            (None, None) => Found::Other,
        },
        _ => Found::Other,
    }))
}
