//! What a project may use, and what it does.
//!
//! The use of a project is one record, changed in the transactions that create and remove what is
//! counted: it cannot drift from what exists.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::filter;
use super::records::{QuotaLimits, Snapshot, Usage, Volume, VolumeType};
use crate::catalogue::{self, Query, View, Writer};
use crate::fault::Fault;

/// The quotas and their limits unless changed; -1 is no limit.
pub(super) const DEFAULTS: [(&str, i64); 7] = [
    ("volumes", 10),
    ("snapshots", 10),
    ("gigabytes", 1000),
    ("backups", 10),
    ("backup_gigabytes", 1000),
    ("per_volume_gigabytes", -1),
    ("groups", 10),
];

/// How an operation changes what a project uses; negative numbers give back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Volumes.
    pub(super) volumes: i64,
    /// GiB of volumes and snapshots.
    pub(super) gigabytes: i64,
    /// Snapshots.
    pub(super) snapshots: i64,
    /// Groups.
    pub(super) groups: i64,
    /// Backups.
    pub(super) backups: i64,
    /// GiB of backups.
    pub(super) backup_gigabytes: i64,
}

impl Change {
    /// So many GiB more and nothing else.
    pub(super) fn of_gib(size_gib: u64) -> Self {
        Self {
            gigabytes: i64::try_from(size_gib).unwrap_or(i64::MAX),
            ..Self::default()
        }
    }
}

impl std::ops::Neg for Change {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            volumes: -self.volumes,
            gigabytes: -self.gigabytes,
            snapshots: -self.snapshots,
            groups: -self.groups,
            backups: -self.backups,
            backup_gigabytes: -self.backup_gigabytes,
        }
    }
}

/// The id of the record that holds the limits of a class; ids of projects have no colon.
pub(super) fn class_id(name: &str) -> String {
    format!("class:{name}")
}

/// The default limits: those above as changed by the quota class `default`.
pub(super) fn default_limits(view: &impl View) -> catalogue::Result<BTreeMap<String, i64>> {
    let mut limits: BTreeMap<String, i64> = DEFAULTS
        .iter()
        .map(|(name, limit)| ((*name).to_owned(), *limit))
        .collect();
    if let Some(class) = view.get::<QuotaLimits>(class_id("default").as_str())? {
        limits.extend(class.limits);
    }
    Ok(limits)
}

/// The limits of a project.
pub(super) fn limits_of(
    view: &impl View,
    project: &str,
) -> catalogue::Result<BTreeMap<String, i64>> {
    let mut limits = default_limits(view)?;
    if let Some(own) = view.get::<QuotaLimits>(project)? {
        limits.extend(own.limits);
    }
    Ok(limits)
}

/// What a project uses.
pub(super) fn usage_of(view: &impl View, project: &str) -> catalogue::Result<Usage> {
    Ok(view.get(project)?.unwrap_or_else(|| Usage {
        project_id: project.to_owned(),
        ..Usage::default()
    }))
}

/// Counts a change in the caller's transaction. What grows must stay within the limits (413).
pub(super) fn reserve(writer: &Writer, project: &str, change: Change) -> Result<(), Fault> {
    let usage = usage_of(writer, project)?;
    let limits = limits_of(writer, project)?;
    check_backups(&limits, &usage, change)?;
    // The real service complains of size before number.
    if let Some(limit) = exceeded(&limits, "gigabytes", usage.gigabytes, change.gigabytes) {
        return Err(no_space(
            "gigabytes",
            change.gigabytes,
            limit,
            usage.gigabytes,
        ));
    }
    let counts = [
        ("Volume", "volumes", usage.volumes, change.volumes),
        ("Snapshot", "snapshots", usage.snapshots, change.snapshots),
    ];
    for (kind, name, used, more) in counts {
        if let Some(limit) = exceeded(&limits, name, used, more) {
            return Err(too_many(kind, name, name, limit));
        }
    }
    if let Some(limit) = exceeded(&limits, "groups", usage.groups, change.groups) {
        return Err(Fault::over_quota(format!(
            "GroupLimitExceeded: Maximum number of groups allowed ({limit}) exceeded"
        )));
    }
    Ok(count(writer, usage, change)?)
}

/// As [`reserve`] for what is counted of backups, in the words of the real service.
fn check_backups(
    limits: &BTreeMap<String, i64>,
    usage: &Usage,
    change: Change,
) -> Result<(), Fault> {
    let (used, more) = (usage.backup_gigabytes, change.backup_gigabytes);
    if let Some(limit) = exceeded(limits, "backup_gigabytes", used, more) {
        return Err(Fault::over_quota(format!(
            "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup \
             gigabytes quota. Requested {more}G, quota is {limit}G and {used}G has been consumed."
        )));
    }
    match exceeded(limits, "backups", usage.backups, change.backups) {
        None => Ok(()),
        Some(limit) => Err(Fault::over_quota(format!(
            "BackupLimitExceeded: Maximum number of backups allowed ({limit}) exceeded"
        ))),
    }
}

/// Gives back what was counted; never below zero, whatever an admin has done to the numbers.
pub(super) fn release(writer: &Writer, project: &str, counted: Change) -> catalogue::Result<()> {
    count(writer, usage_of(writer, project)?, -counted)
}

fn count(writer: &Writer, mut usage: Usage, change: Change) -> catalogue::Result<()> {
    usage.volumes = usage.volumes.saturating_add_signed(change.volumes);
    usage.gigabytes = usage.gigabytes.saturating_add_signed(change.gigabytes);
    usage.snapshots = usage.snapshots.saturating_add_signed(change.snapshots);
    usage.groups = usage.groups.saturating_add_signed(change.groups);
    usage.backups = usage.backups.saturating_add_signed(change.backups);
    let more = change.backup_gigabytes;
    usage.backup_gigabytes = usage.backup_gigabytes.saturating_add_signed(more);
    writer.put(&usage)
}

fn no_space(quota: &str, more: i64, limit: i64, used: u64) -> Fault {
    Fault::over_quota(format!(
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed {quota} \
         quota. Requested {more}G, quota is {limit}G and {used}G has been consumed."
    ))
}

fn too_many(kind: &str, name: &str, quota: &str, limit: i64) -> Fault {
    Fault::over_quota(format!(
        "{kind}LimitExceeded: Maximum number of {name} allowed ({limit}) exceeded for quota \
         '{quota}'."
    ))
}

/// The limit that `more` would go beyond.
fn exceeded(limits: &BTreeMap<String, i64>, name: &str, used: u64, more: i64) -> Option<i64> {
    let limit = limits.get(name).copied().unwrap_or(-1);
    let total = i128::from(used) + i128::from(more);
    (more > 0 && limit >= 0 && total > i128::from(limit)).then_some(limit)
}

/// Refuses a volume of more GiB than one may have (413).
pub(super) fn check_volume_size(
    view: &impl View,
    project: &str,
    size_gib: u64,
) -> Result<(), Fault> {
    let limits = limits_of(view, project)?;
    let size = i64::try_from(size_gib).unwrap_or(i64::MAX);
    match exceeded(&limits, "per_volume_gigabytes", 0, size) {
        None => Ok(()),
        Some(limit) => Err(Fault::over_quota(format!(
            "VolumeSizeExceedsLimit: Requested volume size {size}G is larger than maximum allowed \
             limit {limit}G."
        ))),
    }
}

/// The quotas that every volume type has of its own, none of them limited unless asked for.
pub(super) const OF_TYPES: [&str; 3] = ["volumes", "gigabytes", "snapshots"];

/// The name of a type's own quota.
pub(super) fn type_key(name: &str, volume_type: &str) -> String {
    format!("{name}_{volume_type}")
}

/// Keeps the quotas of a type that gets a new name.
pub(super) fn rename_type(writer: &Writer, old: &str, new: &str) -> catalogue::Result<()> {
    change_type(writer, old, Some(new))
}

/// Drops the quotas of a type that goes.
pub(super) fn forget_type(writer: &Writer, name: &str) -> catalogue::Result<()> {
    change_type(writer, name, None)
}

fn change_type(writer: &Writer, old: &str, new: Option<&str>) -> catalogue::Result<()> {
    for mut record in writer.list::<QuotaLimits>(&Query::all())? {
        let mut changed = false;
        for name in OF_TYPES {
            if let Some(limit) = record.limits.remove(&type_key(name, old)) {
                changed = true;
                record
                    .limits
                    .extend(new.map(|new| (type_key(name, new), limit)));
            }
        }
        if changed {
            writer.put(&record)?;
        }
    }
    Ok(())
}

/// What a project uses of one type; counted on demand, as few types have limits of their own.
pub(super) fn usage_of_type(
    view: &impl View,
    project: &str,
    volume_type: Uuid,
) -> catalogue::Result<Usage> {
    let of_type = [("volume_type_id", &*volume_type.to_string())];
    let volumes = filter::totals::<Volume>(view, Some(project), &of_type)?;
    let snapshots = filter::totals::<Snapshot>(view, Some(project), &of_type)?;
    Ok(Usage {
        volumes: volumes.0,
        snapshots: snapshots.0,
        gigabytes: volumes.1 + snapshots.1,
        ..Usage::default()
    })
}

/// As [`reserve`], of volumes of one type, which may have limits of its own.
pub(super) fn reserve_of_type(
    writer: &Writer,
    project: &str,
    volume_type: Uuid,
    change: Change,
) -> Result<(), Fault> {
    check_type(writer, project, volume_type, change)?;
    reserve(writer, project, change)
}

/// Refuses a change that goes beyond what the project may have of one type (413).
pub(super) fn check_type(
    view: &impl View,
    project: &str,
    volume_type: Uuid,
    change: Change,
) -> Result<(), Fault> {
    let limits = limits_of(view, project)?;
    // Beyond the common quotas there is something only if a type has a limit.
    if limits.len() == DEFAULTS.len() {
        return Ok(());
    }
    let Some(found) = view.get::<VolumeType>(&volume_type)? else {
        return Ok(());
    };
    let usage = usage_of_type(view, project, volume_type)?;
    for (kind, name, used, more) in [
        ("Volume", "volumes", usage.volumes, change.volumes),
        ("", "gigabytes", usage.gigabytes, change.gigabytes),
        ("Snapshot", "snapshots", usage.snapshots, change.snapshots),
    ] {
        let key = type_key(name, &found.name);
        if let Some(limit) = exceeded(&limits, &key, used, more) {
            return Err(match name {
                "gigabytes" => no_space(&key, more, limit, used),
                _ => too_many(kind, name, &key, limit),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Change, check_volume_size, release, reserve, usage_of};
    use crate::catalogue::Catalogue;
    use crate::cinder::records::QuotaLimits;
    use crate::fault::Fault;

    fn volume(gigabytes: i64) -> Change {
        Change {
            volumes: 1,
            gigabytes,
            ..Change::default()
        }
    }

    #[test]
    fn limits_bind_and_a_refusal_counts_nothing() {
        let catalogue = Catalogue::in_memory().unwrap();
        let limits = QuotaLimits {
            project_id: "p".into(),
            limits: BTreeMap::from([
                ("volumes".into(), 2),
                ("gigabytes".into(), 5),
                ("per_volume_gigabytes".into(), 2),
            ]),
        };
        catalogue
            .write::<_, Fault>(|writer| Ok(writer.put(&limits)?))
            .unwrap();
        let take = |change| catalogue.write(|writer| reserve(writer, "p", change));
        take(volume(1)).unwrap();
        assert_eq!(
            take(volume(5)).unwrap_err().message(),
            "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed \
             gigabytes quota. Requested 5G, quota is 5G and 1G has been consumed."
        );
        take(volume(4)).unwrap();
        assert_eq!(
            take(volume(0)).unwrap_err().message(),
            "VolumeLimitExceeded: Maximum number of volumes allowed (2) exceeded for quota \
             'volumes'."
        );
        catalogue
            .write(|writer| release(writer, "p", volume(4)))
            .unwrap();
        let (used, fault) = catalogue
            .read(|reader| {
                let fault = check_volume_size(reader, "p", 3).unwrap_err();
                Ok::<_, Fault>((usage_of(reader, "p")?, fault))
            })
            .unwrap();
        assert_eq!((used.volumes, used.gigabytes, used.snapshots), (1, 1, 0));
        assert_eq!(
            fault.message(),
            "VolumeSizeExceedsLimit: Requested volume size 3G is larger than maximum allowed \
             limit 2G."
        );
    }

    #[test]
    fn giving_back_never_fails() {
        let catalogue = Catalogue::in_memory().unwrap();
        catalogue
            .write(|writer| release(writer, "p", volume(3)))
            .unwrap();
        let used = catalogue
            .read::<_, Fault>(|reader| Ok(usage_of(reader, "p")?))
            .unwrap();
        assert_eq!((used.volumes, used.gigabytes), (0, 0));
    }
}
