//! What QoS specs mean for a volume.
//!
//! The names are those that the real service's hypervisors know: `{total,read,write}_{iops,bytes}_sec`.
//! `*_max` is a burst that may last a second. `*_per_gb` times the volume's size, at least
//! `*_per_gb_min` and, where a `*_max` is given, at most that, takes the place of a fixed limit.
//! Values that are no positive numbers limit nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{Consumer, QosSpecs};
use crate::catalogue::{self, View};
use crate::cinder::records::{Volume, VolumeType};

const NAMES: [&str; 6] = [
    "total_iops_sec",
    "read_iops_sec",
    "write_iops_sec",
    "total_bytes_sec",
    "read_bytes_sec",
    "write_bytes_sec",
];

/// How much of something there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// In the long run, each second.
    pub per_s: u64,
    /// For a second after a rest, where more is allowed then.
    pub burst_per_s: Option<u64>,
}

/// What an export is held to; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoLimits {
    /// Requests both ways.
    pub total_iops: Option<Rate>,
    /// Reads.
    pub read_iops: Option<Rate>,
    /// Writes.
    pub write_iops: Option<Rate>,
    /// Bytes both ways.
    pub total_bytes: Option<Rate>,
    /// Bytes read.
    pub read_bytes: Option<Rate>,
    /// Bytes written.
    pub write_bytes: Option<Rate>,
}

type Specs = BTreeMap<String, Option<String>>;

fn number(specs: &Specs, key: &str) -> Option<u64> {
    specs.get(key)?.as_ref()?.trim().parse().ok()
}

fn rate(specs: &Specs, name: &str, size_gib: u64) -> Option<Rate> {
    let burst = number(specs, &format!("{name}_max"));
    if let Some(per_gb) = number(specs, &format!("{name}_per_gb")) {
        let least = number(specs, &format!("{name}_per_gb_min")).unwrap_or(0);
        let scaled = per_gb.saturating_mul(size_gib).max(least);
        let per_s = burst.map_or(scaled, |most| scaled.min(most));
        return (per_s > 0).then_some(Rate {
            per_s,
            burst_per_s: None,
        });
    }
    let per_s = number(specs, name).filter(|per_s| *per_s > 0)?;
    Some(Rate {
        per_s,
        burst_per_s: burst.filter(|burst| *burst > per_s),
    })
}

impl IoLimits {
    fn of(specs: &Specs, size_gib: u64) -> Self {
        let [
            total_iops,
            read_iops,
            write_iops,
            total_bytes,
            read_bytes,
            write_bytes,
        ] = NAMES.map(|name| rate(specs, name, size_gib));
        Self {
            total_iops,
            read_iops,
            write_iops,
            total_bytes,
            read_bytes,
            write_bytes,
        }
    }
}

/// The specs of a volume's type, if there are any.
fn specs_of(view: &impl View, volume: &Volume) -> catalogue::Result<Option<QosSpecs>> {
    let found = view.get::<VolumeType>(&volume.volume_type_id)?;
    match found.and_then(|found| found.qos_specs_id) {
        Some(id) => view.get(&id),
        None => Ok(None),
    }
}

/// What the back end holds a volume's exports to.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn limits_of_volume(
    view: &impl View,
    volume: Uuid,
) -> catalogue::Result<IoLimits> {
    let Some(volume) = view.get::<Volume>(&volume)? else {
        return Ok(IoLimits::default());
    };
    Ok(match specs_of(view, &volume)? {
        Some(found) if found.consumer != Consumer::FrontEnd => {
            IoLimits::of(&found.specs, volume.size_gib)
        }
        Some(_) | None => IoLimits::default(),
    })
}

/// What `connection_info` tells the hypervisor to enforce; null when it is told nothing.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn front_end(view: &impl View, volume: &Volume) -> catalogue::Result<Value> {
    let found = specs_of(view, volume)?.filter(|found| found.consumer != Consumer::BackEnd);
    let Some(mut found) = found else {
        return Ok(Value::Null);
    };
    for name in NAMES {
        let per_gb = format!("{name}_per_gb");
        if !found.specs.contains_key(&per_gb) {
            continue;
        }
        let scaled = rate(&found.specs, name, volume.size_gib).map_or(0, |rate| rate.per_s);
        for key in [per_gb, format!("{name}_per_gb_min"), format!("{name}_max")] {
            found.specs.remove(&key);
        }
        found
            .specs
            .insert(name.to_owned(), Some(scaled.to_string()));
    }
    Ok(json!(found.specs))
}

#[cfg(test)]
mod tests {
    use super::{IoLimits, Rate, Specs, rate};

    fn specs(pairs: &[(&str, &str)]) -> Specs {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), Some((*value).to_owned()));
        pairs.iter().map(own).collect()
    }

    #[test]
    fn table_of_specs() {
        for (pairs, per_s, burst_per_s) in [
            (vec![("read_iops_sec", "100")], 100, None),
            (
                vec![("read_iops_sec", "100"), ("read_iops_sec_max", "300")],
                100,
                Some(300),
            ),
            (
                vec![("read_iops_sec", "100"), ("read_iops_sec_max", "50")],
                100,
                None,
            ),
            (vec![("read_iops_sec_per_gb", "10")], 40, None),
            (
                vec![
                    ("read_iops_sec_per_gb", "10"),
                    ("read_iops_sec_per_gb_min", "60"),
                ],
                60,
                None,
            ),
            (
                vec![("read_iops_sec_per_gb", "10"), ("read_iops_sec_max", "30")],
                30,
                None,
            ),
            (
                vec![("read_iops_sec_per_gb", "10"), ("read_iops_sec", "7")],
                40,
                None,
            ),
        ] {
            let found = rate(&specs(&pairs), "read_iops_sec", 4);
            assert_eq!(found, Some(Rate { per_s, burst_per_s }), "{pairs:?}");
        }
    }

    #[test]
    fn what_is_no_number_limits_nothing() {
        let odd = specs(&[
            ("total_iops_sec", "many"),
            ("read_bytes_sec", "-5"),
            ("write_bytes_sec", "0"),
            ("colour", "7"),
        ]);
        assert_eq!(IoLimits::of(&odd, 1), IoLimits::default());
        let one = IoLimits::of(&specs(&[("write_bytes_sec", "5")]), 1);
        assert_eq!(one.write_bytes.map(|rate| rate.per_s), Some(5));
        assert_eq!(one.read_bytes, None);
    }
}
