//! Both interfaces to transfers of volumes.

use super::groups::page;
use super::{LISTED, links, spelled_flag};
use crate::cinder::validate::TEXT_MAX;
use crate::openapi::Operation;
use crate::openapi::shape::{
    Field, Shape, any_of, field, flag, int, maybe, null, object, text, text_of, time, uuid, wrapped,
};
use crate::policy::Rule;

const LIST: Operation = Operation::get("", "List transfers: id, name and volume.")
    .rule(Rule::VolumeGetAllTransfers)
    .query(LISTED)
    .answers(200, || page("transfers", summary(), "transfers_links"));
const DETAIL: Operation = LIST
    .means("List transfers with all their fields.")
    .answers(200, || page("transfers", detail(), "transfers_links"));
const CREATE: Operation = Operation::post("", "Offer a volume to another project.")
    .rule(Rule::VolumeCreateTransfer)
    .answers(202, || {
        let key = [field("auth_key", text())];
        let fields = detail_fields().into_iter().chain(key);
        wrapped("transfer", object(fields).named("TransferCreated"))
    });
const SHOW: Operation = Operation::get("", "Show a transfer.")
    .rule(Rule::VolumeGetTransfer)
    .answers(200, || wrapped("transfer", detail()));
const DELETE: Operation = Operation::delete("", "Withdraw an offer.")
    .rule(Rule::VolumeDeleteTransfer)
    .empty(202);
const ACCEPT: Operation = Operation::post("", "Take the volume of a transfer.")
    .rule(Rule::VolumeAcceptTransfer)
    .body(accept)
    .answers(202, || wrapped("transfer", summary()))
    .faults(&[413]);

/// The operations of one interface.
pub(in crate::cinder) struct Transfers {
    pub(in crate::cinder) list: Operation,
    pub(in crate::cinder) detail: Operation,
    pub(in crate::cinder) create: Operation,
    pub(in crate::cinder) show: Operation,
    pub(in crate::cinder) delete: Operation,
    pub(in crate::cinder) accept: Operation,
}

/// The older interface.
pub(in crate::cinder) const OLD: Transfers = Transfers {
    list: LIST.at("/os-volume-transfer"),
    detail: DETAIL.at("/os-volume-transfer/detail"),
    create: CREATE
        .at("/os-volume-transfer")
        .body(|| wrapped("transfer", object(new()))),
    show: SHOW.at("/os-volume-transfer/{id}"),
    delete: DELETE.at("/os-volume-transfer/{id}"),
    accept: ACCEPT.at("/os-volume-transfer/{id}/accept"),
};

/// The newer interface.
pub(in crate::cinder) const NEW: Transfers = Transfers {
    list: LIST.at("/volume-transfers"),
    detail: DETAIL.at("/volume-transfers/detail"),
    create: CREATE.at("/volume-transfers").body(|| {
        let own = [maybe("no_snapshots", any_of([spelled_flag(), null()])).since(55)];
        wrapped("transfer", object(new().into_iter().chain(own)))
    }),
    show: SHOW.at("/volume-transfers/{id}"),
    delete: DELETE.at("/volume-transfers/{id}"),
    accept: ACCEPT.at("/volume-transfers/{id}/accept"),
};

fn summary_fields() -> [Field; 4] {
    [
        field("id", uuid()),
        field("volume_id", uuid()),
        field("name", text().or_null()),
        field("links", links()),
    ]
}

fn summary() -> Shape {
    object(summary_fields()).named("TransferSummary")
}

fn detail_fields() -> [Field; 9] {
    let [id, volume, name, links] = summary_fields();
    [
        id,
        volume,
        name,
        links,
        field("created_at", time()),
        field("no_snapshots", flag()).since(55),
        field("source_project_id", text().or_null()).since(57),
        field("destination_project_id", text().or_null()).since(57),
        field("accepted", flag()).since(57),
    ]
}

fn detail() -> Shape {
    object(detail_fields()).named("Transfer")
}

fn new() -> [Field; 2] {
    [
        field("volume_id", uuid()),
        maybe("name", text_of(1, TEXT_MAX).like(r"\S").or_null()),
    ]
}

fn accept() -> Shape {
    let key = any_of([text(), int()]);
    wrapped("accept", object([field("auth_key", key)]).open()).open()
}
