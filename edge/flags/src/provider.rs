//! The set in force, as OpenFeature clients ask for it.
//!
//! The Rust SDK hands no default to a provider: where the answer is "use your own value" (a disabled flag, one without a
//! default variant) this answers an error, as the SDK does for every answer without a value.

use std::{fmt, sync::Arc};

use open_feature::{
    EvaluationContext, EvaluationContextFieldValue, EvaluationError, EvaluationErrorCode, EvaluationReason,
    FlagMetadata, FlagMetadataValue, StructValue, Value as Outward, async_trait,
    provider::{FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails},
};
use serde_json::{Map, Number, Value};

use crate::{
    Context, EvaluateError, Flags, Reason,
    files::State,
    limits::CONTEXT_DEPTH_MAX,
    set::Kind,
    value::{Numeric, to_number},
};

/// Answers from whatever set is in force at the time of asking.
pub struct FlagProvider {
    flags: Flags,
    metadata: ProviderMetadata,
    now_s: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl FlagProvider {
    /// `now_s` reads the time in seconds since 1970-01-01 UTC, for rules that look at it.
    pub fn new(flags: Flags, now_s: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            flags,
            metadata: ProviderMetadata::new("starvault-flags"),
            now_s: Arc::new(now_s),
        }
    }

    fn resolve<T>(
        &self,
        key: &str,
        context: &EvaluationContext,
        asked: &'static str,
        convert: impl FnOnce(Kind, &Value) -> Option<T>,
    ) -> Result<ResolutionDetails<T>, EvaluationError> {
        let state = self.flags.state();
        let Some(set) = &state.set else {
            return Err(not_loaded(&state));
        };
        let context = inward(key, context, (self.now_s)()).map_err(outward_error)?;
        let resolution = set.evaluate(key, &context).map_err(outward_error)?;
        let (Some(value), Some(variant)) = (resolution.value, resolution.variant) else {
            return Err(no_value(key, resolution.reason));
        };
        let kind = set.get(key).map_or(Kind::Object, |flag| flag.kind);
        let Some(value) = convert(kind, value) else {
            let (key, is) = (key.to_owned(), kind.as_str());
            return Err(outward_error(EvaluateError::TypeMismatch { key, is, asked }));
        };
        Ok(ResolutionDetails {
            value,
            variant: Some(variant.to_owned()),
            reason: Some(match resolution.reason {
                Reason::Static => EvaluationReason::Static,
                Reason::Default => EvaluationReason::Default,
                Reason::TargetingMatch => EvaluationReason::TargetingMatch,
                Reason::Disabled => EvaluationReason::Disabled,
            }),
            flag_metadata: Some(metadata(resolution.metadata)),
        })
    }
}

impl fmt::Debug for FlagProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlagProvider")
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl FeatureProvider for FlagProvider {
    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    fn status(&self) -> ProviderStatus {
        let state = self.flags.state();
        match (&state.set, &state.failing) {
            (None, _) => ProviderStatus::Error,
            (Some(_), Some(_)) => ProviderStatus::STALE,
            (Some(_), None) => ProviderStatus::Ready,
        }
    }

    async fn resolve_bool_value(
        &self,
        key: &str,
        context: &EvaluationContext,
    ) -> Result<ResolutionDetails<bool>, EvaluationError> {
        self.resolve(key, context, Kind::Boolean.as_str(), |_, value| value.as_bool())
    }

    async fn resolve_int_value(
        &self,
        key: &str,
        context: &EvaluationContext,
    ) -> Result<ResolutionDetails<i64>, EvaluationError> {
        self.resolve(key, context, "a whole number", whole)
    }

    async fn resolve_float_value(
        &self,
        key: &str,
        context: &EvaluationContext,
    ) -> Result<ResolutionDetails<f64>, EvaluationError> {
        self.resolve(key, context, Kind::Number.as_str(), |_, value| value.as_f64())
    }

    async fn resolve_string_value(
        &self,
        key: &str,
        context: &EvaluationContext,
    ) -> Result<ResolutionDetails<String>, EvaluationError> {
        self.resolve(key, context, Kind::String.as_str(), |_, value| {
            value.as_str().map(str::to_owned)
        })
    }

    async fn resolve_struct_value(
        &self,
        key: &str,
        context: &EvaluationContext,
    ) -> Result<ResolutionDetails<StructValue>, EvaluationError> {
        self.resolve(key, context, Kind::Object.as_str(), |_, value| {
            value.as_object().map(outward_object)
        })
    }
}

/// JSON has one kind of number: 2 and 2.0 are the same.
fn whole(kind: Kind, value: &Value) -> Option<i64> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    match to_number(value).filter(|_| kind == Kind::Number)? {
        Numeric::Whole(number) => Some(number),
        Numeric::Double(double) => {
            (double.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&double)).then_some(double as i64)
        }
    }
}

fn not_loaded(state: &State) -> EvaluationError {
    let problems = state.failing.iter().flat_map(|failing| &failing.problems);
    let first = problems.map(ToString::to_string).next();
    EvaluationError {
        code: EvaluationErrorCode::ParseError,
        message: Some(first.unwrap_or_else(|| "no flags are loaded".to_owned())),
    }
}

fn no_value(key: &str, reason: Reason) -> EvaluationError {
    let (code, why) = match reason {
        Reason::Disabled => (
            EvaluationErrorCode::General("FLAG_DISABLED".to_owned()),
            "is disabled",
        ),
        _ => (EvaluationErrorCode::FlagNotFound, "has no default variant"),
    };
    EvaluationError {
        code,
        message: Some(format!("the flag {key:?} {why}")),
    }
}

fn outward_error(error: EvaluateError) -> EvaluationError {
    let code = match &error {
        EvaluateError::FlagNotFound { .. } => EvaluationErrorCode::FlagNotFound,
        EvaluateError::TypeMismatch { .. } => EvaluationErrorCode::TypeMismatch,
        EvaluateError::TargetingKeyMissing { .. } => EvaluationErrorCode::TargetingKeyMissing,
        EvaluateError::InvalidContext { .. } => EvaluationErrorCode::InvalidContext,
        EvaluateError::NotAVariant { .. } => EvaluationErrorCode::General(error.code().to_owned()),
    };
    EvaluationError {
        code,
        message: Some(error.to_string()),
    }
}

/// A moment becomes seconds since 1970, which rules compare with `$flagd.timestamp`. Of structures those are understood
/// that are JSON or OpenFeature's own.
fn inward(key: &str, context: &EvaluationContext, now_s: i64) -> Result<Context, EvaluateError> {
    let mut attributes = Map::new();
    for (name, field) in &context.custom_fields {
        let value = match field {
            EvaluationContextFieldValue::Bool(value) => Some(Value::from(*value)),
            EvaluationContextFieldValue::Int(value) => Some(Value::from(*value)),
            EvaluationContextFieldValue::Float(value) => Number::from_f64(*value).map(Value::Number),
            EvaluationContextFieldValue::String(value) => Some(Value::from(value.as_str())),
            EvaluationContextFieldValue::DateTime(moment) => Some(Value::from(moment.unix_timestamp())),
            EvaluationContextFieldValue::Struct(any) => {
                let json = any.downcast_ref::<Value>().cloned();
                json.or_else(|| {
                    let fields = any.downcast_ref::<StructValue>()?;
                    inward_object(fields, CONTEXT_DEPTH_MAX)
                })
            }
        };
        let Some(value) = value else {
            let why = format!("{name:?} is no number, or a structure that is neither JSON nor OpenFeature's");
            let key = key.to_owned();
            return Err(EvaluateError::InvalidContext { key, why });
        };
        attributes.insert(name.clone(), value);
    }
    Ok(Context {
        targeting_key: context.targeting_key.clone(),
        attributes,
        now_s,
    })
}

fn inward_object(fields: &StructValue, depth_left: usize) -> Option<Value> {
    let members = fields.fields.iter();
    let members = members.map(|(name, value)| Some((name.clone(), inward_value(value, depth_left)?)));
    Some(Value::Object(members.collect::<Option<_>>()?))
}

fn inward_value(value: &Outward, depth_left: usize) -> Option<Value> {
    let depth_left = depth_left.checked_sub(1)?;
    Some(match value {
        Outward::Bool(value) => Value::from(*value),
        Outward::Int(value) => Value::from(*value),
        Outward::Float(value) => Value::Number(Number::from_f64(*value)?),
        Outward::String(value) => Value::from(value.as_str()),
        Outward::Array(items) => {
            let items = items.iter().map(|item| inward_value(item, depth_left));
            Value::Array(items.collect::<Option<_>>()?)
        }
        Outward::Struct(fields) => inward_object(fields, depth_left)?,
    })
}

fn outward_object(members: &Map<String, Value>) -> StructValue {
    let fields = members.iter();
    StructValue {
        // OpenFeature has no null: such a field is not there.
        fields: fields
            .filter_map(|(name, value)| Some((name.clone(), outward_value(value)?)))
            .collect(),
    }
}

/// As deep as the definition, which was bounded when it was read.
fn outward_value(value: &Value) -> Option<Outward> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => Outward::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Outward::Int(whole),
            None => Outward::Float(number.as_f64()?),
        },
        Value::String(text) => Outward::String(text.clone()),
        Value::Array(items) => Outward::Array(items.iter().filter_map(outward_value).collect()),
        Value::Object(members) => Outward::Struct(outward_object(members)),
    })
}

fn metadata(layers: [&Map<String, Value>; 2]) -> FlagMetadata {
    let mut metadata = FlagMetadata::default();
    for (name, value) in layers.into_iter().flatten() {
        let value = match value {
            Value::Bool(value) => FlagMetadataValue::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => FlagMetadataValue::Int(whole),
                None => FlagMetadataValue::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => FlagMetadataValue::String(text.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => continue,
        };
        metadata.values.insert(name.clone(), value);
    }
    metadata
}
