//! What lists make of odd parameters, through the router: as the real service answers them.

use http::StatusCode;
use serde_json::{Value, json};

use super::tests::{Site, id_of, message};
use crate::testing::Answer;

/// What a list answers.
enum Told {
    /// So many objects.
    Items(usize),
    /// A refusal with its text.
    Refused(u16, &'static str),
}
use Told::{Items, Refused};

const SORT: &str = "Invalid input received: Invalid sort key";
const COUNT: &str = "Value 'zz' for 'with_count' is not a boolean.";
const UNKNOWN: &str = "Invalid filters with_count are found in query options.";

struct Lists {
    site: Site,
    member: String,
}

impl Lists {
    /// Two volumes, of which one is attached, with a snapshot and a transfer; of another project
    /// nothing.
    async fn new() -> Self {
        let site = Site::new().await;
        let first = volume(&site, "first").await;
        let body = json!({"snapshot": {"volume_id": first}});
        site.call("POST", "/snapshots", body).await;
        let second = volume(&site, "second").await;
        let instance = "6f1c1f5c-9d1c-4c63-8f3e-8f2a2b0f3c11";
        let body = json!({"attachment": {"volume_uuid": second, "instance_uuid": instance}});
        site.call("POST", "/attachments", body).await;
        let third = volume(&site, "third").await;
        let body = json!({"transfer": {"volume_id": third, "name": "x"}});
        site.call("POST", "/volume-transfers", body).await;
        let member = site.cloud.token_of_another_project(&site.admin).await;
        Self { site, member }
    }

    async fn ask(&self, token: &str, minor: u16, path: &str) -> Answer {
        let version = format!("volume 3.{minor}");
        let headers = [
            ("X-Auth-Token", token),
            ("OpenStack-API-Version", version.as_str()),
        ];
        let path = format!("/volume/v3{path}");
        self.site
            .cloud
            .send("GET", &path, &headers, Value::Null)
            .await
    }

    async fn check(&self, token: &str, cases: &[(u16, &str, Told)]) {
        for (minor, path, told) in cases {
            let answer = self.ask(token, *minor, path).await;
            match told {
                Items(count) => {
                    assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
                    let lists = answer.body.as_object().unwrap().values();
                    let items = lists.filter_map(Value::as_array).next_back().unwrap();
                    assert_eq!(items.len(), *count, "3.{minor} {path}: {:?}", answer.body);
                }
                Refused(status, text) => {
                    assert_eq!(answer.status.as_u16(), *status, "3.{minor} {path}");
                    assert_eq!(message(&answer), *text, "3.{minor} {path}");
                }
            }
        }
    }
}

async fn volume(site: &Site, name: &str) -> String {
    let body = json!({"volume": {"size": 1, "name": name, "description": "d"}});
    let made = site.call("POST", "/volumes", body).await;
    site.run_jobs();
    id_of(&made)
}

#[tokio::test]
async fn filters_of_admins() {
    let lists = Lists::new().await;
    let cases = [
        (71, "/volumes?all_tenants=0", Items(0)),
        (71, "/volumes?project_id=x", Items(3)),
        (71, "/volumes?all_tenants=1&project_id=x", Items(0)),
        (71, "/volumes?availability_zone~=ov", Items(3)),
        (71, "/volumes?availability_zone~=x", Items(0)),
        (71, "/volumes?use_quota=1", Items(3)),
        (71, "/volumes?consumes_quota=false", Items(0)),
        (0, "/volumes?consumes_quota=true", Items(0)),
        (71, "/volumes?attach_status=reserved", Items(0)),
        (71, "/volumes?description=d", Items(0)),
        (71, "/volumes?with_count=zz", Refused(400, COUNT)),
        (0, "/snapshots?project_id=x", Items(1)),
        (71, "/snapshots?created_at=gt:2020-01-01", Items(0)),
        (71, "/volumes?created_at=gt:2020-01-01", Items(3)),
        (71, "/attachments?created_at=gt:2020-01-01", Items(0)),
        (71, "/attachments?project_id=x", Items(1)),
        (71, "/attachments?availability_zone=nova", Items(0)),
        (71, "/attachments?with_count=1", Items(0)),
        (71, "/attachments?consumes_quota=zz", Items(0)),
        (71, "/messages?with_count=1", Items(0)),
        (71, "/volume-transfers?project_id=x", Items(1)),
        (71, "/groups?list_volume=zz", Items(0)),
        (71, "/scheduler-stats/get_pools?all_tenants=1", Items(1)),
    ];
    lists.check(&lists.site.admin, &cases).await;
    let summary = lists
        .ask(&lists.site.admin, 71, "/volumes/summary?all_tenants=abc")
        .await;
    assert_eq!(summary.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_order_that_there_is_not_is_told_behind_the_marker() {
    let lists = Lists::new().await;
    let marker = "limit=1&marker=00000000-0000-4000-8000-000000000000&sort=zz";
    let cases = [
        (71, "/attachments?sort=status:asc", Refused(400, SORT)),
        (71, "/attachments?sort=zz&with_count=1", Items(0)),
        (71, "/volume-transfers?sort=zz", Refused(400, SORT)),
        (71, "/volume-transfers?sort=zz&zz=1", Items(0)),
        (71, "/qos-specs?sort=zz", Refused(400, SORT)),
        (71, "/qos-specs?sort=zz&zz=1", Items(0)),
        (71, "/volumes?sort=zz", Refused(400, SORT)),
    ];
    lists.check(&lists.site.admin, &cases).await;
    for list in [
        "volumes",
        "snapshots",
        "attachments",
        "volume-transfers",
        "qos-specs",
    ] {
        let path = format!("/{list}?{marker}");
        let answer = lists.ask(&lists.site.admin, 71, &path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{list}");
    }
}

#[tokio::test]
async fn filters_of_types() {
    let lists = Lists::new().await;
    let secret = lists.site.create_type("gold", true).await;
    let specs = json!({"extra_specs": {"secret": "s", "multiattach": "<is> True"}});
    let path = format!("/types/{secret}/extra_specs");
    lists.site.call("POST", &path, specs).await;
    let cases = [
        (71, "/types?zz=1", Items(0)),
        (0, "/types?name=gold", Items(1)),
        (71, "/types?with_count=1", Items(0)),
        (71, "/types?extra_specs=%7B'secret':'s'%7D", Items(1)),
        (71, "/types?marker=zz", Items(2)),
        (71, "/group_types?marker=zz", Items(1)),
    ];
    lists.check(&lists.site.admin, &cases).await;
    let visible = "/types?extra_specs=%7B'multiattach':'%3Cis%3E%20True'%7D";
    let cases = [
        (51, "/types?with_count=1", Items(2)),
        (52, "/types?with_count=1", Refused(400, UNKNOWN)),
        (71, "/types?all_tenants=1", Items(2)),
        (51, "/types?extra_specs=%7B'secret':'x'%7D", Items(2)),
        (71, "/types?extra_specs=%7B'secret':'s'%7D", Items(0)),
        (71, visible, Items(1)),
        (71, "/attachments?with_count=1", Refused(400, UNKNOWN)),
        (71, "/messages?with_count=1", Refused(400, UNKNOWN)),
    ];
    lists.check(&lists.member, &cases).await;
}
