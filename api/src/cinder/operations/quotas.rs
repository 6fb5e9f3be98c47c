//! Quotas, quota classes and limits.

use crate::cinder::quota_calls::LIMIT_MAX;
use crate::openapi::shape::{Shape, any, any_of, int, int_of, maybe, object, text, wire, wrapped};
use crate::openapi::{Operation, parameter, truth};
use crate::policy::Rule;
use crate::types::cinder::{LimitsBody, QuotaSetBody};

pub(in crate::cinder) const SHOW: Operation = Operation::get(
    "/os-quota-sets/{project_id}",
    "Show the quotas of a project.",
)
.rule(Rule::QuotasShow)
.query(&[&[parameter("usage", truth, "Show what is used as well.")]])
.answers(200, wire::<QuotaSetBody>);
pub(in crate::cinder) const DEFAULTS: Operation = Operation::get(
    "/os-quota-sets/{project_id}/defaults",
    "Show the quotas that projects begin with.",
)
.rule(Rule::QuotasShow)
.answers(200, wire::<QuotaSetBody>);
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/os-quota-sets/{project_id}", "Change quotas of a project.")
        .rule(Rule::QuotasUpdate)
        .body(|| wrapped("quota_set", limits()).open())
        .answers(200, wire::<QuotaSetBody>);
pub(in crate::cinder) const DELETE: Operation = Operation::delete(
    "/os-quota-sets/{project_id}",
    "Give a project the quotas that projects begin with.",
)
.rule(Rule::QuotasDelete)
.empty(200);
pub(in crate::cinder) const SHOW_CLASS: Operation = Operation::get(
    "/os-quota-class-sets/{class_name}",
    "Show the quotas of a class.",
)
.rule(Rule::QuotaClassesGet)
.answers(200, class);
pub(in crate::cinder) const UPDATE_CLASS: Operation = Operation::put(
    "/os-quota-class-sets/{class_name}",
    "Change quotas of a class.",
)
.rule(Rule::QuotaClassesUpdate)
.body(|| wrapped("quota_class_set", limits()).open())
.answers(200, class);
pub(in crate::cinder) const LIMITS: Operation =
    Operation::get("/limits", "Show what a project may use, and uses.")
        .query(&[&[parameter("project_id", text, "Another project; admins only.").since(39)]])
        .answers(200, wire::<LimitsBody>);

/// New limits by name: numbers or their digits.
fn limits() -> Shape {
    let limit = any_of([int_of(-1, LIMIT_MAX), text().like(r"^\s*[+-]?[0-9]+\s*$")]);
    let ignored = ["id", "tenant_id"].map(|name| maybe(name, any()));
    object(ignored).others(limit)
}

fn class() -> Shape {
    let class = object([maybe("id", text())]).others(int());
    wrapped("quota_class_set", class).named("QuotaClassSet")
}
