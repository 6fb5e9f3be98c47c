//! Which backend a volume goes to: those that its type allows and that have room, and of them the
//! one with the most free space.
//!
//! The choice is made in the transaction that writes the row, so that a job never has to guess where
//! an earlier attempt put its object.

use std::collections::BTreeMap;

use super::{capabilities, extra_specs, service_host};
use crate::catalogue::{self, View};
use crate::cinder::records::VolumeType;
use crate::cinder::services as service_states;
use crate::server::{Backend, Services};

/// Why a volume was placed nowhere, in the words of the real scheduler.
pub(crate) const NO_VALID_BACKEND: &str =
    "No valid backend was found. No weighed backends available";

/// What is to be placed.
pub(crate) struct Request<'a> {
    /// The volume's type.
    pub(crate) volume_type: &'a VolumeType,
    /// GiB to be added; 0 for what is there already.
    pub(crate) size_gib: u64,
}

/// Whether a backend is what a type wants and has room.
pub(crate) fn fits(backend: &Backend, request: &Request<'_>) -> bool {
    let specs = &request.volume_type.extra_specs;
    // Asking for nothing is the common case, and the capabilities need not be made up for it.
    (specs.is_empty() || extra_specs::satisfy(&capabilities(backend), specs))
        && has_room(backend, request.size_gib)
}

/// Whether so many GiB may be promised once more.
#[expect(
    clippy::cast_precision_loss,
    reason = "ratios of sizes; a double has digits enough"
)]
fn has_room(backend: &Backend, size_gib: u64) -> bool {
    if size_gib == 0 {
        return true;
    }
    let settings = backend.settings();
    let space = backend.store().space();
    let (total, free) = backend.capacity();
    let reserved = total / 100 * u64::from(settings.reserved_percentage);
    if space.failed || free <= reserved {
        return false;
    }
    let Some(ratio) = settings.max_over_subscription_ratio else {
        return true;
    };
    let wanted = size_gib.saturating_mul(1 << 30) as f64;
    let promised = space.logical_bytes as f64 + wanted;
    promised <= (total - reserved) as f64 * ratio && wanted <= (free - reserved) as f64 * ratio
}

/// Whether a backend takes new volumes of this kind.
fn takes(
    services: &Services,
    view: &impl View,
    backend: &Backend,
    request: &Request<'_>,
) -> catalogue::Result<bool> {
    let enabled = service_states::is_enabled(view, &service_host(services, backend))?;
    Ok(enabled && fits(backend, request))
}

/// The backend for volumes of all these types, which are to be together in a group of which
/// `group_specs` ask what volume types ask by their extra specs.
pub(crate) fn choose_for_all<'s>(
    services: &'s Services,
    view: &impl View,
    volume_types: &[VolumeType],
    group_specs: &BTreeMap<String, Option<String>>,
) -> catalogue::Result<Option<&'s Backend>> {
    let mut best: Option<&Backend> = None;
    for next in services.backends().iter() {
        let mut better = best.is_none_or(|best| best.capacity().1 < next.capacity().1)
            && (group_specs.is_empty() || extra_specs::satisfy(&capabilities(next), group_specs));
        for volume_type in volume_types {
            let request = Request {
                volume_type,
                size_gib: 0,
            };
            better = better && takes(services, view, next, &request)?;
        }
        if better {
            best = Some(next);
        }
    }
    Ok(best)
}

/// The backend for a volume; `preferred` is taken when it fits, as that of a volume's source.
pub(crate) fn choose<'s>(
    services: &'s Services,
    view: &impl View,
    request: &Request<'_>,
    preferred: Option<&str>,
) -> catalogue::Result<Option<&'s Backend>> {
    let backends = services.backends();
    if let Some(near) = preferred.and_then(|name| backends.get(name))
        && takes(services, view, near, request)?
    {
        return Ok(Some(near));
    }
    let mut best: Option<&Backend> = None;
    for next in backends.iter() {
        // Of equals the first of the configuration.
        let better = best.is_none_or(|best| best.capacity().1 < next.capacity().1);
        if better && takes(services, view, next, request)? {
            best = Some(next);
        }
    }
    Ok(best)
}
