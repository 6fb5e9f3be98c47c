//! Groups through the router, with real volumes below.

mod cuts;
mod members;
mod older;
mod refusals;

use serde_json::{Value, json};
use store::{Durability, VolumeId};
use uuid::Uuid;

use crate::cinder::tests::Site;
use crate::jobs::unfinished_of;
use crate::server::job_registry;
use crate::testing::Answer;

/// A site with a group type and a volume type.
struct Yard {
    site: Site,
    group_type: String,
    volume_type: String,
}

impl Yard {
    async fn new() -> Self {
        let site = Site::new().await;
        let group_type = site.make("group_type", json!({"name": "gt"})).await;
        let volume_type = site.create_type("vt", true).await;
        Self {
            site,
            group_type,
            volume_type,
        }
    }

    async fn group(&self, name: &str) -> String {
        let wanted = json!({
            "name": name, "group_type": self.group_type, "volume_types": [self.volume_type],
        });
        self.site.make("group", wanted).await
    }

    async fn volume(&self, group: &str) -> String {
        let wanted = json!({"size": 1, "volume_type": self.volume_type, "group_id": group});
        let id = self.site.make("volume", wanted).await;
        self.site.run_jobs();
        id
    }

    async fn act(&self, group: &str, action: Value) -> Answer {
        self.site
            .post(&format!("/groups/{group}/action"), action)
            .await
    }

    async fn change(&self, group: &str, change: Value) -> Answer {
        let path = format!("/groups/{group}");
        self.site.call("PUT", &path, json!({"group": change})).await
    }

    async fn used(&self) -> [u64; 4] {
        let path = format!("/os-quota-sets/{}?usage=true", self.site.project);
        let set = self.site.get(&path).await.body["quota_set"].clone();
        ["groups", "volumes", "snapshots", "gigabytes"]
            .map(|name| set[name]["in_use"].as_u64().unwrap())
    }

    /// The volumes of a group.
    async fn members(&self, group: &str) -> Vec<String> {
        let shown = self
            .site
            .get(&format!("/groups/{group}?list_volume=true"))
            .await;
        let ids = shown.body["group"]["volumes"].as_array().unwrap().clone();
        ids.iter()
            .map(|id| id.as_str().unwrap().to_owned())
            .collect()
    }

    fn write(&self, volume: &str, byte: u8) {
        let id = VolumeId(Uuid::parse_str(volume).unwrap());
        let volume = self.site.cloud.store("pool").volume(id).unwrap();
        volume
            .write(0, &[byte; 4096], Durability::Buffered)
            .unwrap();
    }

    fn read(&self, volume: &str) -> u8 {
        let id = VolumeId(Uuid::parse_str(volume).unwrap());
        let volume = self.site.cloud.store("pool").volume(id).unwrap();
        let mut buffer = [0; 4096];
        volume.read(0, &mut buffer).unwrap();
        buffer[0]
    }

    /// Does the work of the queued job of an object without closing it, as if the power failed then.
    fn run_unclosed(&self, object: &str) {
        let services = &self.site.cloud.services;
        let jobs = services
            .catalogue()
            .read(|reader| unfinished_of(reader, object));
        let job = jobs.unwrap().pop().unwrap();
        let handler = job_registry().get(&job.kind).unwrap();
        handler.run(services, &job).unwrap();
    }
}

const DELETE_ALL: &str = "delete-volumes";

fn delete(with_volumes: bool) -> Value {
    json!({"delete": {DELETE_ALL: with_volumes}})
}
