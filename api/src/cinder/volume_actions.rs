//! `POST /volumes/{id}/action`.

mod ahead;
mod image;

use std::cell::Cell;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::quotas::{self, Change};
use super::records::{Attachment, Volume};
use super::reset_status::Reset;
use super::retype::retype;
use super::volume_view::attachments_of;
use super::{attaching, managing, moving, qos, validate, volume_delete, volumes, work};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{View, Writer};
use crate::external::glance::UserToken;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::{HTML, Services};
use ahead::{Ahead, Call};

/// Actions that came later, with their first microversion.
const LATER: [(&str, u16); 2] = [("revert", 40), ("os-reimage", 68)];

pub(super) use image::DISK_FORMATS;

/// What an action needs to know.
struct Context<'a> {
    services: &'a Services,
    writer: &'a Writer,
    caller: &'a Caller,
    version: Microversion,
    args: &'a Value,
    /// Taken by the action that needs it.
    ahead: Cell<Ahead>,
}

/// What is left to do and to answer once the transaction is through.
#[derive(Default)]
struct Done {
    opened: Option<Attachment>,
    closed: Vec<Attachment>,
    answer: Option<Value>,
    ok: bool,
    /// Whether what is answered has only begun.
    accepted: bool,
    /// Whether the answer is one of the framework's, which says that it is no JSON.
    plain: bool,
}

pub(super) async fn action(
    State(services): State<Services>,
    (caller, token): (Caller, UserToken),
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let (name, args) = super::action_of(&body)?;
    if let Some((_, since)) = LATER.iter().find(|(later, _)| *later == name) {
        version.require(*since)?;
    }
    let call = Call {
        caller,
        version,
        id,
        name,
        args,
    };
    let own = services.clone();
    services
        .unbroken(async move {
            let ahead = Ahead::of(&own, &call, &token).await?;
            let undo = ahead.undo();
            let done = own.blocking(move |services| act(services, &call, ahead));
            let done = done.await;
            if done.is_err() {
                undo.await;
            }
            done
        })
        .await
}

/// Carries out an action; blocks.
fn act(services: &Services, call: &Call, ahead: Ahead) -> Result<Response, Fault> {
    let done = services.catalogue().write(|writer| {
        let volume = volumes::find(writer, &call.caller, &call.id)?;
        let context = Context {
            services,
            writer,
            caller: &call.caller,
            version: call.version,
            args: &call.args,
            ahead: Cell::new(ahead),
        };
        context.perform(&call.name, volume)
    })?;
    if call.name == "os-retype" {
        services.exports().limits_changed();
    }
    if let Some(new) = &done.opened {
        attaching::announce(services, "attachment.created", new);
    }
    for gone in &done.closed {
        attaching::close(services, gone);
    }
    if done.plain {
        let html = [(header::CONTENT_TYPE, HTML)];
        return Ok((StatusCode::OK, html).into_response());
    }
    Ok(match (done.answer, done.ok) {
        (Some(answer), _) if done.accepted => (StatusCode::ACCEPTED, Json(answer)).into_response(),
        (Some(answer), _) => Json(answer).into_response(),
        (None, true) => StatusCode::OK.into_response(),
        (None, false) => StatusCode::ACCEPTED.into_response(),
    })
}

/// 409 of a detachment that names no attachment there is: the real service takes it for one that a
/// server still uses.
fn unknown_attachment() -> Fault {
    let message = "ConflictNovaUsingAttachment: Detach volume from instance  using the Compute API";
    Fault::conflict(message)
}

fn map_of(args: &Value) -> Result<&Map<String, Value>, Fault> {
    let map = args.as_object();
    map.ok_or_else(|| Fault::bad_request("Malformed request body"))
}

impl Context<'_> {
    fn perform(&self, name: &str, volume: Volume) -> Result<Done, Fault> {
        match name {
            "os-extend" => self.extend(volume),
            "os-retype" => {
                retype(self.services, self.writer, self.caller, volume, self.map()?)?;
                Ok(Done::default())
            }
            "os-migrate_volume" => {
                let who = (self.caller, self.version);
                moving::migrate(self.services, self.writer, who, volume, self.map()?)?;
                Ok(Done::default())
            }
            "os-migrate_volume_completion" => Ok(Done {
                answer: Some(moving::complete(
                    self.writer,
                    self.caller,
                    &volume,
                    self.map()?,
                )?),
                ..Done::default()
            }),
            "revert" => {
                moving::revert(self.services, self.writer, self.caller, volume, self.map()?)?;
                Ok(Done::default())
            }
            "os-unmanage" => {
                managing::unmanage_volume(self.services, self.writer, self.caller, volume)?;
                Ok(Done::default())
            }
            "os-extend_volume_completion" => self.extension_completed(&volume),
            "os-show_image_metadata" => self.show_image_metadata(&volume),
            "os-set_image_metadata" => self.set_image_metadata(volume),
            "os-unset_image_metadata" => self.unset_image_metadata(volume),
            "os-reimage" => self.reimage(volume),
            "os-volume_upload_image" => self.upload_image(volume),
            "os-reset_status" => self.reset_status(volume),
            "os-force_delete" => self.force_delete(volume),
            "os-set_bootable" => self.set_bootable(volume),
            "os-update_readonly_flag" => self.set_read_only(volume),
            "os-reserve" => self.reserve(volume),
            "os-unreserve" => self.unreserve(volume),
            "os-begin_detaching" => self.begin_detaching(volume),
            "os-roll_detaching" => self.roll_detaching(volume),
            "os-attach" => self.attach(volume),
            "os-detach" | "os-force_detach" => self.detach(name, volume),
            "os-initialize_connection" => self.initialize_connection(&volume),
            "os-terminate_connection" => self.terminate_connection(&volume),
            _ => Err(super::no_action(name)),
        }
    }

    fn map(&self) -> Result<&Map<String, Value>, Fault> {
        map_of(self.args)
    }

    fn check(&self, rule: Rule, volume: &Volume) -> Result<(), Fault> {
        self.caller.check(rule, volume)
    }

    fn save(&self, mut volume: Volume) -> Result<Done, Fault> {
        volume.updated_us = Some(self.services.now_us());
        self.writer.put(&volume)?;
        Ok(Done::default())
    }

    fn extend(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeExtend, &volume)?;
        let size = validate::size(self.map()?, "new_size")?.ok_or_else(|| {
            validate::invalid("os-extend", self.args, "'new_size' is a required property")
        })?;
        let online = volume.status == "in-use" && self.version.has(42);
        if online {
            self.check(Rule::VolumeExtendAttachedVolume, &volume)?;
        }
        if volume.status != "available" && !online {
            return Err(Fault::bad_request(format!(
                "Invalid volume: Volume {} status must be '{{'status': 'available'}}' to extend, currently {}.",
                volume.id, volume.status
            )));
        }
        if size <= volume.size_gib {
            return Err(Fault::bad_request(format!(
                "Invalid input received: New size for extend must be greater than current size. (current: {}, extended: {size}).",
                volume.size_gib
            )));
        }
        let reserved = size - volume.size_gib;
        quotas::check_volume_size(self.writer, &volume.project_id, size)?;
        quotas::reserve_of_type(
            self.writer,
            &volume.project_id,
            volume.volume_type_id,
            Change::of_gib(reserved),
        )?;
        volume.previous_status = Some(std::mem::replace(&mut volume.status, "extending".into()));
        let args = json!({"new_size": size, "reserved": reserved});
        volumes::enqueue(
            self.services,
            self.writer,
            work::EXTEND_VOLUME,
            &volume,
            args,
        )?;
        self.save(volume)
    }

    /// What compute says of an extension that waits for it, of which there are none: volumes in use
    /// grow without its help.
    fn extension_completed(&self, volume: &Volume) -> Result<Done, Fault> {
        self.caller
            .check(Rule::VolumeAdminActionsExtendVolumeCompletion, volume)?;
        Err(Fault::bad_request(match volume.status.as_str() {
            "extending" => {
                "Invalid volume: Required volume admin metadata is malformed or missing."
            }
            _ => "Invalid volume: Volume is not being extended.",
        }))
    }

    fn reset_status(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeAdminActionsResetStatus, &volume)?;
        let reset = Reset::parse(self.args)?;
        let attachments = attachments_of(self.writer, &volume)?;
        reset.check(!attachments.is_empty())?;
        let mut done = Done::default();
        if reset.detaches() {
            for attachment in &attachments {
                self.writer.delete::<Attachment>(&attachment.id)?;
            }
            done.closed = attachments;
        }
        reset.apply(&mut volume);
        self.save(volume)?;
        Ok(done)
    }

    fn force_delete(&self, volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeAdminActionsForceDelete, &volume)?;
        volume_delete::delete(self.services, self.writer, volume, true, false)?;
        Ok(Done::default())
    }

    fn set_bootable(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeUpdate, &volume)?;
        volume.bootable = validate::flag(self.map()?, "bootable")?.ok_or_else(|| {
            validate::invalid(
                "os-set_bootable",
                self.args,
                "'bootable' is a required property",
            )
        })?;
        self.save(volume)?;
        Ok(Done {
            ok: true,
            ..Done::default()
        })
    }

    fn set_read_only(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeUpdateReadonlyFlag, &volume)?;
        let flag = validate::flag(self.map()?, "readonly")?.ok_or_else(|| {
            let reason = "'readonly' is a required property";
            validate::invalid("os-update_readonly_flag", self.args, reason)
        })?;
        self.require(&volume, "available")?;
        volume.read_only = Some(flag);
        self.save(volume)
    }

    fn require(&self, volume: &Volume, status: &str) -> Result<(), Fault> {
        if volume.status == status {
            return Ok(());
        }
        Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} status must be {status}, but current status is: {}.",
            volume.id, volume.status
        )))
    }

    fn reserve(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeActionsReserve, &volume)?;
        if !(volume.multiattach && volume.status == "in-use") {
            self.require(&volume, "available")?;
        }
        volume.status = "attaching".to_owned();
        self.save(volume)
    }

    fn unreserve(&self, volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeActionsUnreserve, &volume)?;
        if volume.status == "attaching" {
            attaching::refresh(self.services, self.writer, volume)?;
        }
        Ok(Done::default())
    }

    fn begin_detaching(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeActionsBeginDetaching, &volume)?;
        self.require(&volume, "in-use")?;
        volume.status = "detaching".to_owned();
        self.save(volume)
    }

    fn roll_detaching(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeActionsRollDetaching, &volume)?;
        if volume.status != "detaching" {
            return Ok(Done::default());
        }
        volume.status = "in-use".to_owned();
        self.save(volume)
    }

    fn attach(&self, volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeActionsAttach, &volume)?;
        let map = self.map()?;
        let pending = attachments_of(self.writer, &volume)?
            .into_iter()
            .find(|one| one.status != "attached");
        // What was reserved for reading stays so unless the caller says otherwise.
        let reserved = pending.as_ref().and_then(|one| one.mode.clone());
        let mode = attaching::mode_of(map)?
            .or(reserved)
            .unwrap_or_else(|| "rw".to_owned());
        if volume.status == "in-use" && !volume.multiattach {
            return Err(Fault::bad_request(
                "Invalid volume: volume is already attached and multiple attachments are not enabled",
            ));
        }
        if !["available", "attaching", "reserved"].contains(&volume.status.as_str()) {
            self.require(&volume, "available")?;
        }
        if volume.read_only == Some(true) && mode != "ro" {
            return Err(Fault::bad_request(format!(
                "Invalid volume: Volume {} is read-only and cannot be attached rw.",
                volume.id
            )));
        }
        let instance = validate::text(map, "instance_uuid")?;
        let instance = instance.and_then(|text| Uuid::parse_str(&text).ok());
        let is_new = pending.is_none();
        let mut attachment = match pending {
            Some(attachment) => attachment,
            None => attaching::reserve(self.services, self.writer, &volume, instance)?,
        };
        attachment.instance_id = instance.or(attachment.instance_id);
        attachment.mountpoint = validate::text(map, "mountpoint")?;
        attachment.mode = Some(mode);
        attachment.by_action = true;
        attachment.status = "attached".to_owned();
        attachment.attached_us = Some(self.services.now_us());
        self.writer.put(&attachment)?;
        attaching::refresh(self.services, self.writer, volume)?;
        Ok(Done {
            opened: is_new.then_some(attachment),
            ..Done::default()
        })
    }

    fn detach(&self, name: &str, volume: Volume) -> Result<Done, Fault> {
        if name == "os-force_detach" {
            self.check(Rule::VolumeAdminActionsForceDetach, &volume)?;
        } else {
            self.check(Rule::VolumeActionsDetach, &volume)?;
        }
        let gone = self.attachment_to_end(&volume)?;
        if let Some(attachment) = &gone {
            self.writer.delete::<Attachment>(&attachment.id)?;
        }
        attaching::refresh(self.services, self.writer, volume)?;
        Ok(Done {
            closed: gone.into_iter().collect(),
            ..Done::default()
        })
    }

    /// The attachment that a detachment names, or the only one; none when there are none.
    fn attachment_to_end(&self, volume: &Volume) -> Result<Option<Attachment>, Fault> {
        let Some(id) = validate::id(self.map()?, "attachment_id")? else {
            let mut all = attachments_of(self.writer, volume)?;
            // Which one is meant, only the service that attached it could tell.
            return if all.len() > 1 {
                Err(unknown_attachment())
            } else {
                Ok(all.pop())
            };
        };
        match self.writer.get::<Attachment>(&id)? {
            None => Err(unknown_attachment()),
            Some(found) if found.volume_id == volume.id => Ok(Some(found)),
            // What others have attached is not told of.
            Some(found) if !self.caller.sees(&found.project_id) => Err(unknown_attachment()),
            Some(_) => Err(Fault::bad_request(
                "Invalid input received: Mismatched volume and attachment",
            )),
        }
    }

    fn initialize_connection(&self, volume: &Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeActionsInitializeConnection, volume)?;
        let connector = self
            .map()?
            .get("connector")
            .and_then(Value::as_object)
            .cloned();
        let connector = connector.ok_or_else(|| {
            let reason = "'connector' is a required property";
            validate::invalid("os-initialize_connection", self.args, reason)
        })?;
        let pending = attachments_of(self.writer, volume)?.into_iter().next();
        let is_new = pending.is_none();
        let mut attachment = match pending {
            Some(attachment) => attachment,
            None => attaching::reserve(self.services, self.writer, volume, None)?,
        };
        attaching::connect(&mut attachment, volume, connector, self.services.now_us())?;
        attachment.qos_specs = qos::front_end(self.writer, volume)?;
        self.writer.put(&attachment)?;
        let data = attaching::connection_info(self.services, &attachment);
        let info = json!({"driver_volume_type": "nbd", "data": data});
        Ok(Done {
            answer: Some(json!({"connection_info": info})),
            opened: is_new.then_some(attachment),
            ..Done::default()
        })
    }

    /// Closes the exports of the host that the connector names; other hosts keep theirs.
    fn terminate_connection(&self, volume: &Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeActionsTerminateConnection, volume)?;
        let host_of = |connector: &Map<String, Value>| connector.get("host").cloned();
        let named = self.map()?.get("connector").and_then(Value::as_object);
        let host = named.and_then(host_of);
        let mut closed = Vec::new();
        for mut attachment in attachments_of(self.writer, volume)? {
            let other = host.is_some() && attachment.connector.as_ref().and_then(host_of) != host;
            if attachment.export.is_none() || other {
                continue;
            }
            closed.push(attachment.clone());
            if attachment.status == "attached" {
                attachment.export = None;
                attachment.connector = None;
                self.writer.put(&attachment)?;
            } else {
                self.writer.delete::<Attachment>(&attachment.id)?;
            }
        }
        Ok(Done {
            closed,
            ..Done::default()
        })
    }
}
