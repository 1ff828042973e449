//! From YAML to a plan.

use crate::error::PlanError;
use crate::plan::Plan;

pub(crate) fn plan(_yaml: &str, file: &str) -> Result<Plan, PlanError> {
    Err(PlanError {
        file: file.to_owned(),
        line: 0,
        column: 0,
        what: "x".to_owned(),
        expected: "y".to_owned(),
    })
}
