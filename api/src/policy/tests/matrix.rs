//! Every operation that is built, called by everyone: nobody, a bad token, a reader, a member,
//! a member of another project, an admin.
//!
//! `routes.tsv` has the operations of Block Storage with success code, role and rule.

use std::fmt::Write;

use http::StatusCode;
use serde_json::{Value, json};

use super::world::{DEFAULT_TYPE, Objects, World};
use crate::policy::{Rule, Rules};
use crate::testing::Answer;

const ROUTES: &str = include_str!("routes.tsv");

/// Operations that succeed only with what this world has not: a named host, a second backend, a
/// service for images, an object with a history. Here only who is refused is looked at; that they
/// succeed is tested where they are built.
const SUCCEED_ELSEWHERE: [&str; 14] = [
    "manageable_snapshots-01",
    "manageable_snapshots-02",
    "manageable_snapshots-03",
    "manageable_volumes-01",
    "manageable_volumes-02",
    "os-snapshot-manage-01",
    "os-snapshot-manage-02",
    "os-snapshot-manage-03",
    "os-volume-manage-01",
    "os-volume-manage-02",
    "volumes-16",
    "volumes-20",
    "volumes-31",
    "volumes-36",
];

/// One more: it removes what must have been set before.
const NEEDS_A_KEY: &str = "volumes-39";

/// Objects that callers of another project are not told of.
const HIDDEN: [&str; 10] = [
    "{backup_id}",
    "{volume_id}",
    "{snapshot_id}",
    "{attachment_id}",
    "{group_id}",
    "{group_snapshot_id}",
    "{consistencygroup_id}",
    "{cgsnapshot_id}",
    "{message_id}",
    "{transfer_id}",
];
/// Operations whose body names such an object.
const HIDDEN_IN_BODY: [&str; 9] = [
    "backups-03",
    "snapshots-03",
    "attachments-03",
    "groups-07",
    "group_snapshots-03",
    "consistencygroups-04",
    "cgsnapshots-03",
    "os-volume-transfer-03",
    "volume-transfers-03",
];
/// Operations for whoever knows a key.
const OPEN_TO_KEYS: [&str; 2] = ["os-volume-transfer-06", "volume-transfers-06"];

/// Who may call an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Any,
    Reader,
    Member,
    Admin,
}

/// A row of the table.
struct Row {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    action: &'static str,
    success: u16,
    who: Who,
    rule: &'static str,
}

impl Row {
    fn parse(line: &'static str) -> Self {
        let cells: Vec<&str> = line.split('\t').collect();
        let &[id, method, path, action, success, who, rule] = cells.as_slice() else {
            panic!("{line}: not seven cells");
        };
        Self {
            id,
            method,
            path,
            action,
            success: success.parse().unwrap(),
            who: match who {
                "any" => Who::Any,
                "reader" => Who::Reader,
                "member" => Who::Member,
                "admin" => Who::Admin,
                other => panic!("{line}: who is {other}?"),
            },
            rule,
        }
    }

    fn all() -> Vec<Self> {
        ROUTES.lines().skip(1).map(Self::parse).collect()
    }

    /// The area: the id without its number.
    fn area(&self) -> &'static str {
        self.id.rsplit_once('-').unwrap().0
    }

    fn can_succeed(&self) -> bool {
        !SUCCEED_ELSEWHERE.contains(&self.id) && self.id != NEEDS_A_KEY
    }

    fn hides(&self) -> bool {
        let named = HIDDEN.iter().any(|name| self.path.contains(name));
        (named && !OPEN_TO_KEYS.contains(&self.id)) || HIDDEN_IN_BODY.contains(&self.id)
    }

    /// A body that the operation accepts.
    fn body(&self, made: &Objects) -> Value {
        if !self.action.is_empty() {
            return json!({ self.action: self.arguments(made) });
        }
        match self.id {
            "attachments-03" => json!({"attachment": {
                "volume_uuid": made.id("volume_id"), "instance_uuid": made.id("volume_id"),
            }}),
            "attachments-05" => json!({"attachment": {"connector": {"host": "h"}}}),
            "default-types-03" => {
                json!({"default_type": {"volume_type": made.id("spare_type")}})
            }
            "backups-03" => json!({"backup": {"volume_id": made.id("volume_id")}}),
            "backups-05" => json!({"backup": {"name": "new"}}),
            "backups-07" => json!({"restore": {}}),
            "backups-09" => json!({"backup-record": made.record()}),
            "os-quota-class-sets-02" => json!({"quota_class_set": {"volumes": 77}}),
            "os-quota-sets-03" => json!({"quota_set": {"volumes": 7777}}),
            "clusters-04" | "clusters-05" => json!({"name": "nope"}),
            "os-hosts-03" => json!({"status": "enable"}),
            // The scheduler, so that later rows get their volumes.
            "os-services-02" | "os-services-03" | "os-services-04" => {
                json!({"binary": "cinder-scheduler", "host": "cinderblock"})
            }
            // The second of these undoes the first.
            "os-services-05" | "os-services-06" | "os-services-07" | "os-services-08" => {
                json!({"host": made.id("host_name")})
            }
            "os-services-09" => json!({"level": "INFO"}),
            "os-services-10" => json!({}),
            "os-volume-transfer-03" | "volume-transfers-03" => {
                json!({"transfer": {"volume_id": made.id("volume_id")}})
            }
            "os-volume-transfer-06" | "volume-transfers-06" => {
                json!({"accept": {"auth_key": made.id("auth_key")}})
            }
            "qos-specs-02" => json!({"qos_specs": {"name": uuid::Uuid::new_v4().to_string()}}),
            "qos-specs-04" => json!({"qos_specs": {"new": "value"}}),
            "qos-specs-06" => json!({"keys": ["key"]}),
            "snapshots-03" => json!({"snapshot": {"volume_id": made.id("volume_id")}}),
            "snapshots-05" => json!({"snapshot": {"name": "new"}}),
            "types-02" => json!({"volume_type": {"name": uuid::Uuid::new_v4().to_string()}}),
            "types-04" => json!({"volume_type": {"description": "new"}}),
            "types-07" => json!({"extra_specs": {"new": "value"}}),
            "types-12" => {
                json!({"encryption": {"provider": "luks", "control_location": "front-end"}})
            }
            "types-14" => json!({"encryption": {"cipher": "new"}}),
            "types-09" => json!({"multiattach": "<is> True"}),
            "volumes-04" => json!({"volume": {"size": 1}}),
            "volumes-06" => json!({"volume": {"name": "new"}}),
            "volumes-09" | "volumes-10" | "snapshots-08" | "snapshots-09" => {
                json!({"metadata": {"new": "value"}})
            }
            "volumes-12" | "snapshots-11" => json!({"meta": {"key": "new"}}),
            "manageable_volumes-03" | "os-volume-manage-03" => json!({"volume": {
                "host": "cinderblock@pool", "ref": {"source-name": "nothing"},
            }}),
            _ => self.group_body(made),
        }
    }

    fn group_body(&self, made: &Objects) -> Value {
        match self.id {
            "groups-03" => json!({"group": {
                "group_type": made.id("group_type_id"), "volume_types": [DEFAULT_TYPE],
            }}),
            "groups-05" => json!({"group": {"name": "new"}}),
            "group_snapshots-03" => {
                json!({"group_snapshot": {"group_id": made.id("group_id")}})
            }
            "group_types-02" => json!({"group_type": {"name": uuid::Uuid::new_v4().to_string()}}),
            "group_types-04" => json!({"group_type": {"description": "new"}}),
            "group_types-07" => json!({"group_specs": {"new": "value"}}),
            "group_types-09" => json!({"key": "new"}),
            "consistencygroups-03" => json!({"consistencygroup": {"volume_types": DEFAULT_TYPE}}),
            "consistencygroups-04" => json!({"consistencygroup-from-src": {
                "source_cgid": made.id("consistencygroup_id"),
            }}),
            "consistencygroups-06" | "consistencygroups-07" => {
                json!({"consistencygroup": {"name": "new"}})
            }
            "cgsnapshots-03" => json!({"cgsnapshot": {
                "consistencygroup_id": made.id("consistencygroup_id"),
            }}),
            _ => Value::Null,
        }
    }

    fn arguments(&self, made: &Objects) -> Value {
        match self.action {
            "addProjectAccess" | "removeProjectAccess" => {
                json!({"project": made.id("target_project_id")})
            }
            "create-from-src" => json!({"source_group_id": made.id("group_id")}),
            "os-attach" => {
                json!({"instance_uuid": made.id("volume_id"), "mountpoint": "/dev/vdc"})
            }
            "os-extend" => json!({"new_size": 2}),
            "os-initialize_connection" | "os-terminate_connection" => {
                json!({"connector": {"host": "h"}})
            }
            "os-reset_status" | "reset_status" => json!({"status": "error"}),
            "os-migrate_volume_completion" => json!({"new_volume": made.id("volume_id")}),
            "os-reimage" => json!({"image_id": uuid::Uuid::nil()}),
            "os-set_image_metadata" => json!({"metadata": {"key": "value"}}),
            "os-unset_image_metadata" => json!({"key": "key"}),
            "os-volume_upload_image" => json!({"image_name": "image"}),
            "os-retype" => json!({"new_type": made.id("spare_type")}),
            "os-set_bootable" => json!({"bootable": true}),
            "os-update_snapshot_status" => json!({"status": "available"}),
            "os-update_readonly_flag" => json!({"readonly": true}),
            _ => json!({}),
        }
    }

    /// What a caller ought to get, in the words of [`told`].
    fn expected(&self, caller: &str) -> String {
        let allowed = match caller {
            "nobody" | "a bad token" => return "401".to_owned(),
            "another project's member" if self.hides() => return "404".to_owned(),
            // The one thing in a path that is of a project and not hidden.
            "another project's member" if self.path.contains("{target_project_id}") => false,
            "reader" => self.who <= Who::Reader,
            "admin" => true,
            _ => self.who <= Who::Member,
        };
        match (allowed, self.area()) {
            (true, _) => self.success.to_string(),
            // The real service names no rule here.
            (false, "default-types") => {
                "403 You are not authorized to perform this operation.".to_owned()
            }
            (false, _) => format!("403 Policy doesn't allow {} to be performed.", self.rule),
        }
    }
}

/// Status of an answer, with the message of a refusal.
fn told(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    match answer.body["forbidden"]["message"].as_str() {
        Some(message) => format!("{status} {message}"),
        None => status.to_string(),
    }
}

impl World {
    async fn cell(&self, row: &Row, caller: &str, made: &Objects) -> Answer {
        let (path, body) = (made.path(row.path), row.body(made));
        let token = match caller {
            "nobody" => return self.anonymous(row.method, &path, body).await,
            "a bad token" => "bad",
            "reader" => &self.reader,
            "member" => &self.member,
            "another project's member" => &self.other,
            _ => &self.admin,
        };
        let answer = self.volume(token, row.method, &path, body).await;
        self.run_jobs();
        answer
    }
}

/// Callers, those that are refused most often first: they leave the objects as they are.
const CALLERS: [&str; 6] = [
    "nobody",
    "a bad token",
    "another project's member",
    "reader",
    "member",
    "admin",
];

#[tokio::test]
async fn every_operation_answers_everyone_as_it_should() {
    let world = World::new(Rules::default()).await.without_limits().await;
    let mut wrong = String::new();
    for row in &Row::all() {
        let mut made = world.objects(row.id, row.path).await;
        for caller in CALLERS {
            let expected = row.expected(caller);
            if expected == row.success.to_string() && !row.can_succeed() {
                continue;
            }
            let answer = world.cell(row, caller, &made).await;
            let told = told(&answer);
            if told != expected {
                let (id, body) = (row.id, &answer.body);
                let call = format!("{} {} {}", row.method, row.path, row.action);
                writeln!(
                    wrong,
                    "{id}, {call}, {caller}: {told}, not {expected}: {body}"
                )
                .unwrap();
            }
            if answer.status.is_success() && row.method != "GET" && caller != "admin" {
                made = world.objects(row.id, row.path).await;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_table_names_rules_that_there_are() {
    for row in Row::all().iter().filter(|row| !row.rule.is_empty()) {
        let rule = Rule::ALL.iter().find(|rule| rule.name() == row.rule);
        let default = match row.who {
            Who::Any => panic!("{}: a rule for anyone", row.id),
            Who::Reader => super::super::defaults::READER,
            Who::Member => super::super::defaults::MEMBER,
            Who::Admin => super::super::defaults::ADMIN,
        };
        assert_eq!(rule.map(|rule| rule.default()), Some(default), "{}", row.id);
    }
}

#[tokio::test]
async fn other_projects_show_in_no_list() {
    let world = World::new(Rules::default()).await;
    world.new_volume().await;
    for path in ["/volumes", "/volumes/detail", "/volumes?all_tenants=1"] {
        let list = world.volume(&world.other, "GET", path, Value::Null).await;
        assert_eq!(list.status, StatusCode::OK);
        assert_eq!(list.body, json!({"volumes": []}), "{path}");
    }
}
