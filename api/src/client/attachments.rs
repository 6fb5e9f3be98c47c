//! Attachments.

use serde_json::{Value, json};

use super::volumes::{all_pages, escape};
use super::{Client, Reach, Result, Service};
use crate::types::cinder::{
    Attachment, AttachmentBody, AttachmentCreate, AttachmentCreateBody, Attachments,
};

impl Client {
    /// All attachments in reach, of one volume or of all.
    ///
    /// # Errors
    /// Any kind.
    pub fn attachments(&self, reach: Reach, volume_id: Option<&str>) -> Result<Vec<Attachment>> {
        let filter = volume_id.map_or_else(String::new, |id| format!("&volume_id={}", escape(id)));
        let reach = reach.query();
        all_pages(
            |attachment: &Attachment| &attachment.id,
            |marker| {
                let path = format!("attachments/detail?limit=1000{reach}{filter}{marker}");
                let page: Attachments = self.get(Service::BlockStorage, &path)?;
                // This list has no links: a full page may have a next one.
                let more = page.attachments.len() >= 1000;
                Ok((page.attachments, more))
            },
        )
    }

    /// An attachment by id.
    ///
    /// # Errors
    /// `NotFound` and any other kind.
    pub fn attachment(&self, id: &str) -> Result<Attachment> {
        let path = format!("attachments/{}", escape(id));
        let body: AttachmentBody = self.get(Service::BlockStorage, &path)?;
        Ok(body.attachment)
    }

    /// Attaches a volume to the host of a connector, or reserves it when there is none.
    ///
    /// # Errors
    /// Any kind.
    pub fn create_attachment(&self, attachment: AttachmentCreate) -> Result<Attachment> {
        let body = AttachmentCreateBody { attachment };
        let body: AttachmentBody = self.post(Service::BlockStorage, "attachments", &body)?;
        Ok(body.attachment)
    }

    /// Says that the host has the volume: it becomes `in-use`.
    ///
    /// # Errors
    /// Any kind.
    pub fn complete_attachment(&self, id: &str) -> Result<()> {
        let path = format!("attachments/{}/action", escape(id));
        let body = json!({ "os-complete": Value::Null });
        self.act(Service::BlockStorage, &path, &body)
    }

    /// Detaches.
    ///
    /// # Errors
    /// Any kind.
    pub fn delete_attachment(&self, id: &str) -> Result<()> {
        self.delete(
            Service::BlockStorage,
            &format!("attachments/{}", escape(id)),
        )
    }
}
