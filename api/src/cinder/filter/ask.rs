//! Reading what a list is asked for.

use super::condition::Condition;
use super::{Listed, Listing};
use crate::auth::Caller;
use crate::catalogue::Record;
use crate::cinder::records::Volume;
use crate::cinder::volume_delete::strict_flag;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::{Page, Params, truth};
use crate::server::Config;

/// Parameters that are not filters.
const RESERVED: [&str; 8] = [
    "limit",
    "marker",
    "offset",
    "sort",
    "sort_key",
    "sort_dir",
    "all_tenants",
    "with_count",
];
/// From when filters are those that the configuration names.
const CONFIGURED_SINCE: u16 = 31;
/// From when lists are counted.
const COUNTED_SINCE: u16 = 45;
/// The filter by whether an object counts against the quota, and the column it is of.
const CONSUMES_QUOTA: &str = "consumes_quota";
const USE_QUOTA: &str = "use_quota";

/// The filters of a list: names and wanted values.
type Filters = Vec<(String, String)>;

impl Listing {
    pub(in crate::cinder) fn parse<R: Listed>(
        params: &Params,
        caller: &Caller,
        version: Microversion,
        config: &Config,
    ) -> Result<Self, Fault> {
        let page = Page::read(params)?;
        let is_counted = R::COUNTED && version.has(COUNTED_SINCE);
        let with_count = is_counted && strict_flag(params, "with_count")?;
        // Where there are no counts, it is a filter like others, of a column that there is not.
        let counts = params.has("with_count") && !is_counted && caller.is_admin;
        let all_projects = all_projects::<R>(params, caller)?;
        let asks_for_one = caller.is_admin
            && R::TABLE == Volume::TABLE
            && params.has("all_tenants")
            && !all_projects;
        let mut filters = filters::<R>(params, caller, version)?;
        // Whose objects are listed is said by the scope, unless everybody's are.
        filters.retain(|(key, _)| all_projects || key != "project_id");
        let is_ordered = keys_are_known::<R>(&page, params, caller, version);
        let mut listing = Self {
            is_odd_order: !is_ordered,
            page,
            conditions: Vec::new(),
            all_projects,
            with_count,
            // As the real service has it, all projects asked for with a no are nobody's.
            nothing: counts || asks_for_one,
        };
        for (key, value) in filters {
            listing.ask::<R>(&key, &value, version, config)?;
        }
        Ok(listing)
    }

    /// Adds a filter.
    fn ask<R: Listed>(
        &mut self,
        key: &str,
        value: &str,
        version: Microversion,
        config: &Config,
    ) -> Result<(), Fault> {
        let column = key.strip_suffix('~').unwrap_or(key);
        let is_listed = R::FILTERS.contains(&column) || R::SORT_KEYS.contains(&column);
        if column == "availability_zone" && is_listed {
            // All objects are in the one zone.
            let zone = &config.availability_zone;
            let is_there = match column == key {
                true => zone == value,
                false => zone.contains(value),
            };
            self.nothing |= !is_there;
            return Ok(());
        }
        if R::FILTERS.contains(&CONSUMES_QUOTA) && [CONSUMES_QUOTA, USE_QUOTA].contains(&key) {
            return self.ask_quota(key, value, version);
        }
        if !R::COMPARES_TIMES && super::is_time(key) {
            self.nothing = true;
            return Ok(());
        }
        self.conditions.push(Condition::parse(key, value)?);
        let is_flag = |word: &&str| value.eq_ignore_ascii_case(word);
        if version.has(2)
            && key == "bootable"
            && R::TABLE == Volume::TABLE
            && !["true", "false", "1", "0"].iter().any(is_flag)
        {
            return Err(Fault::bad_request(format!(
                "Invalid input received: 'bootable = {value}'"
            )));
        }
        Ok(())
    }

    /// Adds a filter by whether objects count against the quota, as all do.
    fn ask_quota(&mut self, key: &str, value: &str, version: Microversion) -> Result<(), Fault> {
        let is_column = key == USE_QUOTA;
        if !is_column && !version.has(CONFIGURED_SINCE) {
            self.nothing = true;
            return Ok(());
        }
        match truth(value) {
            None if !is_column => {
                return Err(Fault::bad_request(format!(
                    "Value '{value}' for '{USE_QUOTA}' is not a boolean."
                )));
            }
            consumes => self.nothing |= consumes != Some(true),
        }
        Ok(())
    }
}

/// Whether everybody's objects are asked for, by one who may.
fn all_projects<R: Listed>(params: &Params, caller: &Caller) -> Result<bool, Fault> {
    if !caller.is_admin {
        return Ok(false);
    }
    if R::TABLE == Volume::TABLE {
        return strict_flag(params, "all_tenants");
    }
    let by_presence = R::ALL_BY_PRESENCE && params.has("all_tenants");
    Ok(by_presence || params.flag("all_tenants", false))
}

/// The filters that are obeyed.
///
/// # Errors
/// 400 from 3.31 for those that the caller may not use.
fn filters<R: Listed>(
    params: &Params,
    caller: &Caller,
    version: Microversion,
) -> Result<Filters, Fault> {
    let is_filter = |key: &str| {
        !RESERVED.contains(&key)
            && !R::OPTIONS.contains(&key)
            // Where filters are configured, the configuration alone says which there are.
            && (version.has(CONFIGURED_SINCE) || is_known(R::FILTERS_SINCE, key, version))
    };
    let given = params.iter().filter(|(key, _)| is_filter(key));
    let mut filters: Filters = given
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    if caller.is_admin {
        return Ok(filters);
    }
    let is_allowed = |key: &str| {
        R::FILTERS.contains(&key) && (key != CONSUMES_QUOTA || version.has(CONFIGURED_SINCE))
    };
    let is_counted = R::COUNTED && version.has(COUNTED_SINCE);
    let count = (params.has("with_count") && !is_counted).then_some("with_count");
    let keys = filters.iter().map(|(key, _)| key.as_str());
    let unknown: Vec<&str> = keys.filter(|key| !is_allowed(key)).chain(count).collect();
    if version.has(CONFIGURED_SINCE) && !unknown.is_empty() {
        let names = unknown.join(",");
        return Err(Fault::bad_request(format!(
            "Invalid filters {names} are found in query options."
        )));
    }
    filters.retain(|(key, _)| !R::DROPS_FILTERS || is_allowed(key));
    Ok(filters)
}

/// Whether the list can be put into the order that is asked for. With a filter of an admin by a
/// column that there is not the list is empty, whatever its order.
fn keys_are_known<R: Listed>(
    page: &Page,
    params: &Params,
    caller: &Caller,
    version: Microversion,
) -> bool {
    let is_uncounted = !R::COUNTED || !version.has(COUNTED_SINCE);
    let is_empty = caller.is_admin
        && (params.has("with_count") && is_uncounted
            || params.iter().any(|(key, _)| is_odd::<R>(key)));
    let is_key = |key: &str| R::SORT_KEYS.contains(&key) && is_known(R::SORT_SINCE, key, version);
    is_empty || page.sort.iter().all(|(key, _)| is_key(key))
}

/// Whether a parameter is a filter of a column that there is not.
fn is_odd<R: Listed>(key: &str) -> bool {
    let column = key.trim_end_matches('~');
    let known = [&RESERVED[..], R::OPTIONS, R::FILTERS, R::SORT_KEYS];
    !known.iter().any(|keys| keys.contains(&column))
}

/// Whether a name that came with a microversion is known already.
fn is_known(since: &[(&str, u16)], key: &str, version: Microversion) -> bool {
    let found = since.iter().find(|(name, _)| *name == key);
    found.is_none_or(|(_, minor)| version.has(*minor))
}
