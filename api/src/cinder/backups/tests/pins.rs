//! What is kept for the next increment goes with its volume, whichever way that goes.

use serde_json::json;

use crate::catalogue::{Query, View};
use crate::cinder::backups::records::Pin;
use crate::cinder::tests::Site;
use crate::fault::Fault;

impl Site {
    fn pins(&self) -> usize {
        let found = self
            .cloud
            .services
            .catalogue()
            .read(|reader| Ok::<_, Fault>(reader.list::<Pin>(&Query::all())?));
        found.unwrap().len()
    }
}

#[tokio::test]
async fn a_volume_that_goes_takes_its_pin_and_leaves_its_backups() {
    let site = Site::new().await;
    let volume = site.filled(6).await;
    let backup = site.back_up(json!({"volume_id": volume})).await;
    assert_eq!((site.frozen().len(), site.pins()), (1, 1));
    site.delete(&format!("/volumes/{volume}")).await;
    site.run_jobs();
    assert_eq!((site.frozen().len(), site.pins()), (0, 0));
    let restored = site.restore(&backup, json!({})).await;
    assert_eq!(site.byte(&restored), 6);
}

#[tokio::test]
async fn a_volume_that_goes_with_its_group_takes_its_pin_too() {
    let site = Site::new().await;
    let kind = site.create_type("vt", true).await;
    let of = site.make("group_type", json!({"name": "gt"})).await;
    let wanted = json!({"name": "g", "group_type": of, "volume_types": [kind]});
    let group = site.make("group", wanted).await;
    let wanted = json!({"size": 1, "volume_type": kind, "group_id": group});
    let volume = site.make("volume", wanted).await;
    site.run_jobs();
    site.fill(&volume, 7);
    let backup = site.back_up(json!({"volume_id": volume})).await;
    assert_eq!((site.frozen().len(), site.pins()), (1, 1));
    let delete = json!({"delete": {"delete-volumes": true}});
    site.post(&format!("/groups/{group}/action"), delete).await;
    site.run_jobs();
    assert_eq!(site.status("volume", &volume).await, "gone");
    assert_eq!((site.frozen().len(), site.pins()), (0, 0));
    let restored = site.restore(&backup, json!({})).await;
    assert_eq!(site.byte(&restored), 7);
}
