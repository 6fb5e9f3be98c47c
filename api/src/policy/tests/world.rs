//! A cloud with callers of every kind, and objects for them to call upon.

use http::StatusCode;
use serde_json::{Value, json};

use crate::jobs::run_pending;
use crate::policy::Rules;
use crate::server::job_registry;
use crate::testing::{Answer, Cloud, PASSWORD};

const VERSION: (&str, &str) = ("OpenStack-API-Version", "volume 3.71");
/// What stands for an object in a path that no object was made for.
const NIL: &str = "00000000-0000-0000-0000-000000000000";
/// The type of volumes in groups: one that the backend is good for.
pub(super) const DEFAULT_TYPE: &str = "__DEFAULT__";

/// A cloud with the projects `mine` and `theirs`. Objects are made by the member of `mine`.
pub(super) struct World {
    pub(super) cloud: Cloud,
    pub(super) admin: String,
    pub(super) member: String,
    pub(super) reader: String,
    /// A member of `theirs`.
    pub(super) other: String,
    /// The id of `mine`.
    pub(super) mine: String,
    /// The id of `theirs`.
    theirs: String,
    /// A type for volumes to change to.
    spare_type: String,
}

/// Objects that a path and a body name.
#[derive(Default)]
pub(super) struct Objects {
    ids: Vec<(&'static str, String)>,
    /// The record of a backup to import.
    record: Value,
}

impl Objects {
    fn add(&mut self, name: &'static str, id: impl Into<String>) {
        self.ids.push((name, id.into()));
    }

    /// The record of a backup that is no longer here.
    pub(super) fn record(&self) -> &Value {
        &self.record
    }

    /// The id under a path's placeholder.
    pub(super) fn id(&self, name: &str) -> &str {
        let found = self.ids.iter().find(|(own, _)| *own == name);
        found.map_or(NIL, |(_, id)| id)
    }

    /// A path with ids in place of all placeholders.
    pub(super) fn path(&self, path: &str) -> String {
        let known = self.ids.iter().fold(path.to_owned(), |path, (name, id)| {
            path.replace(&format!("{{{name}}}"), id)
        });
        let fill = |part: &str| if part.starts_with('{') { NIL } else { part }.to_owned();
        known.split('/').map(fill).collect::<Vec<_>>().join("/")
    }
}

impl World {
    pub(super) async fn new(rules: Rules) -> Self {
        let cloud = Cloud::with_rules(rules);
        let admin = cloud.admin().await;
        let mut world = Self {
            cloud,
            admin,
            member: String::new(),
            reader: String::new(),
            other: String::new(),
            mine: String::new(),
            theirs: String::new(),
            spare_type: String::new(),
        };
        world.mine = world.project("mine").await;
        world.theirs = world.project("theirs").await;
        world.member = world.user("member", "mine", &world.mine).await;
        world.reader = world.user("reader", "mine", &world.mine).await;
        world.other = world.other_member("theirs", &world.theirs).await;
        world
    }

    /// Ends what limits the number of objects, and makes a type for volumes to change to.
    pub(super) async fn without_limits(mut self) -> Self {
        let limits = json!({"quota_class_set": {
            "volumes": -1, "snapshots": -1, "gigabytes": -1, "groups": -1,
            "backups": -1, "backup_gigabytes": -1,
        }});
        let path = "/os-quota-class-sets/default";
        let answer = self.volume(&self.admin, "PUT", path, limits).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        self.spare_type = self.new_type("spare", true).await;
        self
    }

    async fn identity(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/identity/v3{path}");
        self.cloud.call(&self.admin, method, &path, body).await
    }

    async fn project(&self, name: &str) -> String {
        let body = json!({"project": {"name": name}});
        id_of(&self.identity("POST", "/projects", body).await)
    }

    /// The id of a new user.
    async fn new_user(&self, name: &str) -> String {
        let body = json!({"user": {"name": name, "password": PASSWORD}});
        id_of(&self.identity("POST", "/users", body).await)
    }

    async fn role(&self, name: &str) -> String {
        let path = format!("/roles?name={name}");
        let found = self.identity("GET", &path, Value::Null).await;
        found.body["roles"][0]["id"].as_str().unwrap().to_owned()
    }

    /// A new user named for the role on a project, logged in.
    async fn user(&self, role: &str, project: &str, project_id: &str) -> String {
        self.granted(role, role, &format!("projects/{project_id}"))
            .await;
        self.cloud.token(role, PASSWORD, project).await
    }

    async fn other_member(&self, project: &str, project_id: &str) -> String {
        self.granted("other", "member", &format!("projects/{project_id}"))
            .await;
        self.cloud.token("other", PASSWORD, project).await
    }

    /// A new user with a role on a target: `system`, `projects/{id}` or `domains/{id}`.
    pub(super) async fn granted(&self, name: &str, role: &str, target: &str) {
        let user = self.new_user(name).await;
        let path = format!("/{target}/users/{user}/roles/{}", self.role(role).await);
        let answer = self.identity("PUT", &path, Value::Null).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{path}");
    }

    /// A call to Block Storage at the newest version.
    pub(super) async fn volume(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Value,
    ) -> Answer {
        let headers = [("X-Auth-Token", token), VERSION];
        let path = format!("/volume/v3{path}");
        self.cloud.send(method, &path, &headers, body).await
    }

    /// As [`World::volume`], without a token.
    pub(super) async fn anonymous(&self, method: &str, path: &str, body: Value) -> Answer {
        let path = format!("/volume/v3{path}");
        self.cloud.send(method, &path, &[VERSION], body).await
    }

    pub(super) fn run_jobs(&self) {
        run_pending(&self.cloud.services, &job_registry()).unwrap();
    }

    /// What a call of a token makes; the id of it.
    pub(super) async fn make(&self, token: &str, path: &str, body: Value) -> String {
        let made = self.volume(token, "POST", path, body).await;
        assert!(made.status.is_success(), "{path}: {:?}", made.body);
        self.run_jobs();
        id_of(&made)
    }

    pub(super) async fn new_volume(&self) -> String {
        let body = json!({"volume": {"size": 1, "metadata": {"key": "value"}}});
        self.make(&self.member, "/volumes", body).await
    }

    async fn new_snapshot(&self, volume: &str) -> String {
        let body = json!({"snapshot": {"volume_id": volume, "metadata": {"key": "value"}}});
        self.make(&self.member, "/snapshots", body).await
    }

    /// The record of a backup that is no longer here.
    async fn record(&self, backup: &str) -> Value {
        let path = format!("/backups/{backup}");
        let export = format!("{path}/export_record");
        let exported = self.volume(&self.admin, "GET", &export, Value::Null).await;
        self.volume(&self.admin, "DELETE", &path, Value::Null).await;
        self.run_jobs();
        exported.body["backup-record"].clone()
    }

    async fn new_attachment(&self, volume: &str) -> String {
        let connector = json!({"host": "h"});
        let body = json!({"attachment": {
            "volume_uuid": volume, "instance_uuid": NIL, "connector": connector,
        }});
        self.make(&self.member, "/attachments", body).await
    }

    /// Somebody's message: of a volume that no pool can hold.
    async fn new_message(&self) -> String {
        let volume_type = self.new_type(&uuid::Uuid::new_v4().to_string(), true).await;
        let specs = json!({"extra_specs": {"vendor_name": "somebody else"}});
        let path = format!("/types/{volume_type}/extra_specs");
        self.volume(&self.admin, "POST", &path, specs).await;
        let body = json!({"volume": {"size": 1, "volume_type": volume_type}});
        let volume = self.make(&self.member, "/volumes", body).await;
        let path = format!("/messages?resource_uuid={volume}");
        let list = self.volume(&self.member, "GET", &path, Value::Null).await;
        let id = list.body["messages"][0]["id"].as_str();
        id.unwrap().to_owned()
    }

    /// A volume on offer, and the key to it.
    async fn new_transfer(&self) -> (String, String) {
        let body = json!({"transfer": {"volume_id": self.new_volume().await}});
        let made = self
            .volume(&self.member, "POST", "/volume-transfers", body)
            .await;
        let key = made.body["transfer"]["auth_key"].as_str();
        (id_of(&made), key.unwrap().to_owned())
    }

    async fn new_qos_specs(&self) -> String {
        let name = uuid::Uuid::new_v4().to_string();
        let body = json!({"qos_specs": {"name": name, "key": "value"}});
        let made = self.volume(&self.admin, "POST", "/qos-specs", body).await;
        let id = made.body["qos_specs"]["id"].as_str();
        id.unwrap().to_owned()
    }

    async fn new_type(&self, name: &str, is_public: bool) -> String {
        let body = json!({"volume_type": {
            "name": name,
            "os-volume-type-access:is_public": is_public,
            "extra_specs": {"multiattach": "<is> True"},
        }});
        self.make(&self.admin, "/types", body).await
    }

    async fn new_group_type(&self, group_specs: Value) -> String {
        let name = uuid::Uuid::new_v4().to_string();
        let body = json!({"group_type": {"name": name, "group_specs": group_specs}});
        self.make(&self.admin, "/group_types", body).await
    }

    /// Adds the groups and what belongs to them that a row names.
    async fn add_groups(&self, id: &str, path: &str, made: &mut Objects) {
        let in_path = |name: &str| path.contains(name);
        let sources = [
            "groups-07",
            "group_snapshots-03",
            "consistencygroups-04",
            "cgsnapshots-03",
        ];
        let is_older = id.starts_with("consistencygroups") || id.starts_with("cgsnapshots");
        let with_snapshot = in_path("{group_snapshot_id}") || in_path("{cgsnapshot_id}");
        let with_volume = with_snapshot || sources.contains(&id);
        let of_group = in_path("{group_id}") || in_path("{consistencygroup_id}");
        if in_path("{group_type_id}") || id == "groups-03" {
            let specs = json!({"key": "value"});
            made.add("group_type_id", self.new_group_type(specs).await);
        }
        if !with_volume && !of_group {
            return;
        }
        let member = &self.member;
        let group = if is_older {
            let body = json!({"consistencygroup": {"volume_types": DEFAULT_TYPE}});
            self.make(member, "/consistencygroups", body).await
        } else {
            // No backend has what the specs above ask for.
            let group_type = self.new_group_type(json!({})).await;
            let body = json!({"group": {"group_type": group_type, "volume_types": [DEFAULT_TYPE]}});
            self.make(member, "/groups", body).await
        };
        if with_volume {
            let body = json!({"volume": {
                "size": 1, "volume_type": DEFAULT_TYPE, "group_id": group,
            }});
            self.make(member, "/volumes", body).await;
        }
        if with_snapshot {
            let body = json!({"cgsnapshot": {"consistencygroup_id": group}});
            let snapshot = self.make(member, "/cgsnapshots", body);
            made.add("cgsnapshot_id", snapshot.await);
            let older = made.id("cgsnapshot_id").to_owned();
            made.add("group_snapshot_id", older);
        }
        made.add("consistencygroup_id", group.as_str());
        made.add("group_id", group);
    }

    /// The objects that a row of the table names in its path and body, in a state that permits it.
    pub(super) async fn objects(&self, id: &str, path: &str) -> Objects {
        let mut made = Objects::default();
        made.add("alias", "capabilities");
        made.add("hostname", "cinderblock@pool");
        made.add("host_name", "cinderblock@pool");
        made.add("class_name", "matrix");
        // The default type of `mine` stays, for its volumes are made to change to another.
        let target = match id.starts_with("default-types") {
            true => &self.theirs,
            false => &self.mine,
        };
        made.add("target_project_id", target.as_str());
        made.add("spare_type", self.spare_type.as_str());
        let in_path = |name: &str| path.contains(name);
        let on_volume = [
            "{volume_id}",
            "{snapshot_id}",
            "{attachment_id}",
            "{backup_id}",
        ];
        let in_body = [
            "backups-03",
            "backups-09",
            "snapshots-03",
            "attachments-03",
            "os-volume-transfer-03",
            "volume-transfers-03",
        ];
        if on_volume.into_iter().any(in_path) || in_body.contains(&id) {
            made.add("volume_id", self.new_volume().await);
        }
        if in_path("{snapshot_id}") {
            made.add("snapshot_id", self.new_snapshot(made.id("volume_id")).await);
        }
        if in_path("{backup_id}") || id == "backups-09" {
            let body = json!({"backup": {"volume_id": made.id("volume_id")}});
            made.add("backup_id", self.make(&self.member, "/backups", body).await);
        }
        if id == "backups-09" {
            made.record = self.record(made.id("backup_id")).await;
        }
        if in_path("{attachment_id}") {
            let attachment = self.new_attachment(made.id("volume_id")).await;
            made.add("attachment_id", attachment);
        }
        self.add_groups(id, path, &mut made).await;
        if in_path("{type_id}") {
            // Access is a matter of private types alone.
            let is_public = !["types-16", "types-17", "types-18"].contains(&id);
            let name = uuid::Uuid::new_v4().to_string();
            made.add("type_id", self.new_type(&name, is_public).await);
        }
        if in_path("{message_id}") {
            made.add("message_id", self.new_message().await);
        }
        if in_path("{transfer_id}") {
            let (transfer, key) = self.new_transfer().await;
            made.add("transfer_id", transfer);
            made.add("auth_key", key);
        }
        if in_path("{qos_id}") {
            made.add("qos_id", self.new_qos_specs().await);
        }
        let key = match id {
            "types-13" => "provider",
            "volumes-15" => "encryption_key_id",
            _ if in_path("{type_id}") => "multiattach",
            _ => "key",
        };
        made.add("key", key);
        self.make_ready(id, &made).await;
        made
    }

    /// Brings objects into the state that a row needs them in.
    async fn make_ready(&self, id: &str, made: &Objects) {
        let on_volume = format!("/volumes/{}/action", made.id("volume_id"));
        let on_type = format!("/types/{}/action", made.id("type_id"));
        let (token, method, path, body) = match id {
            "volumes-19" | "volumes-24" | "volumes-27" => {
                let body = json!({"os-attach": {"instance_uuid": NIL, "mountpoint": "/dev/vdc"}});
                (&self.member, "POST", on_volume, body)
            }
            "snapshots-15" => {
                let body = json!({"os-reset_status": {"status": "creating"}});
                let path = format!("/snapshots/{}/action", made.id("snapshot_id"));
                (&self.admin, "POST", path, body)
            }
            "types-13" | "types-14" | "types-15" => {
                let body = json!({"encryption": {
                    "provider": "luks", "control_location": "front-end",
                }});
                let path = format!("/types/{}/encryption", made.id("type_id"));
                (&self.admin, "POST", path, body)
            }
            "types-18" => {
                let body = json!({"addProjectAccess": {"project": self.mine}});
                (&self.admin, "POST", on_type, body)
            }
            "default-types-02" | "default-types-04" => {
                let body = json!({"default_type": {"volume_type": self.spare_type}});
                (
                    &self.admin,
                    "PUT",
                    format!("/default-types/{}", self.theirs),
                    body,
                )
            }
            _ => return,
        };
        let answer = self.volume(token, method, &path, body).await;
        assert!(answer.status.is_success(), "{id}: {:?}", answer.body);
    }
}

/// The id of what a call made.
fn id_of(answer: &Answer) -> String {
    let made = answer.body.as_object().unwrap().values().next().unwrap();
    made["id"].as_str().unwrap().to_owned()
}
