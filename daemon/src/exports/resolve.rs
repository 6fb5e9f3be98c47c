//! Which volume or snapshot an operator means: pure name resolution for the unix socket.
//!
//! An id wins over a name. A name may be that of a volume or `PROJECT/NAME`, where the project is
//! named by id or name. What fits several volumes is refused with their ids, never guessed.

use api::cinder::IoLimits;
use nbd::OpenError;
use store::Store;
use uuid::Uuid;

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A writable volume.
    Volume(Uuid),
    /// A frozen snapshot.
    Snapshot(Uuid),
}

/// A volume of some name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The volume.
    pub(crate) id: Uuid,
    /// The project that owns it.
    pub(crate) project: String,
}

/// What a live attachment gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    /// The attachment.
    pub(crate) attachment: Uuid,
    /// The volume.
    pub(crate) volume: Uuid,
    /// Whether the host may not write.
    pub(crate) read_only: bool,
}

/// A volume as operators see it listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The volume.
    pub(crate) id: Uuid,
    /// Its name; may be empty.
    pub(crate) name: String,
    /// The project that owns it.
    pub(crate) project: String,
}

/// What is known of names. Failures to read are logged where they happen, and nothing is found.
pub(crate) trait Directory: Send + Sync {
    /// The live attachment whose export has this secret name.
    fn attached(&self, token: &str) -> Option<Attached>;
    /// What the type of a volume lets its exports do.
    fn limits(&self, volume: Uuid) -> IoLimits;
    /// All volumes.
    fn volumes(&self) -> Vec<Listed>;
    /// The pool that holds a volume or snapshot, if there is one of this id and it may be used.
    fn store_of(&self, target: Target) -> Option<Store>;
    /// Whether there is a volume or snapshot of this id.
    fn is_there(&self, target: Target) -> bool {
        self.store_of(target).is_some()
    }
    /// The volumes of this name, in all projects.
    fn volumes_named(&self, name: &str) -> Vec<Candidate>;
    /// The ids of the projects that this text names, by id or by name.
    fn projects(&self, text: &str) -> Vec<String>;
}

/// Longest list of ids in a refusal; the text goes to a client.
const IDS_SHOWN_MAX: usize = 16;

/// Finds what `name` means.
pub(super) fn resolve(directory: &dyn Directory, name: &str) -> Result<Target, OpenError> {
    if let Ok(id) = Uuid::try_parse(name) {
        let either = [Target::Volume(id), Target::Snapshot(id)];
        let known = |target: &Target| directory.is_there(*target);
        if let Some(target) = either.into_iter().find(known) {
            return Ok(target);
        }
    }
    let mut found = directory.volumes_named(name);
    if found.is_empty() {
        // Both parts may contain slashes, so every cut is a reading.
        for (cut, _) in name.match_indices('/') {
            found.extend(in_project(directory, &name[..cut], &name[cut + 1..]));
        }
    }
    match found.as_slice() {
        [] => Err(OpenError::Unknown),
        [only] => Ok(Target::Volume(only.id)),
        several => Err(ambiguous(several)),
    }
}

fn in_project(directory: &dyn Directory, project: &str, name: &str) -> Vec<Candidate> {
    let projects = directory.projects(project);
    let mut found = directory.volumes_named(name);
    found.retain(|candidate| projects.contains(&candidate.project));
    found
}

fn ambiguous(several: &[Candidate]) -> OpenError {
    let ids: Vec<_> = several
        .iter()
        .take(IDS_SHOWN_MAX)
        .map(|candidate| candidate.id.to_string())
        .collect();
    let count = several.len();
    OpenError::Ambiguous(format!(
        "the name fits {count} volumes, use an id: {}",
        ids.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use api::cinder::IoLimits;
    use nbd::OpenError;
    use store::Store;
    use uuid::Uuid;

    use super::{Attached, Candidate, Directory, Listed, Target, resolve};

    /// (volume id, name, project id); a project's name is its id with `p-` before it.
    struct Fixture(Vec<(u128, String, &'static str)>);

    const SNAPSHOT: Uuid = Uuid::from_u128(99);

    impl Directory for Fixture {
        fn attached(&self, _token: &str) -> Option<Attached> {
            None
        }
        fn limits(&self, _volume: Uuid) -> IoLimits {
            IoLimits::default()
        }
        fn volumes(&self) -> Vec<Listed> {
            Vec::new()
        }
        fn store_of(&self, _target: Target) -> Option<Store> {
            None
        }
        fn is_there(&self, target: Target) -> bool {
            let volume = |(id, _, _): &(u128, _, _)| Target::Volume(Uuid::from_u128(*id));
            target == Target::Snapshot(SNAPSHOT) || self.0.iter().any(|one| volume(one) == target)
        }
        fn volumes_named(&self, name: &str) -> Vec<Candidate> {
            let named = self.0.iter().filter(|(_, other, _)| other == name);
            named
                .map(|(id, _, project)| Candidate {
                    id: Uuid::from_u128(*id),
                    project: (*project).to_owned(),
                })
                .collect()
        }
        fn projects(&self, text: &str) -> Vec<String> {
            let id = text.strip_prefix("p-").unwrap_or(text);
            vec![id.to_owned()]
        }
    }

    fn fixture() -> Fixture {
        Fixture(vec![
            (1, "web".into(), "a"),
            (2, "web".into(), "b"),
            (3, "db".into(), "a"),
            (4, Uuid::from_u128(1).to_string(), "b"),
            (5, "x/y".into(), "b"),
        ])
    }

    fn volume(id: u128) -> Result<Target, OpenError> {
        Ok(Target::Volume(Uuid::from_u128(id)))
    }

    #[test]
    fn ids_win_over_names() {
        let one = Uuid::from_u128(1);
        assert_eq!(resolve(&fixture(), &one.to_string()), volume(1));
        assert_eq!(resolve(&fixture(), &one.simple().to_string()), volume(1));
        let snapshot = resolve(&fixture(), &SNAPSHOT.to_string());
        assert_eq!(snapshot, Ok(Target::Snapshot(SNAPSHOT)));
    }

    #[test]
    fn names_must_fit_one() {
        assert_eq!(resolve(&fixture(), "db"), volume(3));
        assert_eq!(resolve(&fixture(), "x/y"), volume(5));
        for unknown in ["", "no", "/", "a/", "c/web"] {
            assert_eq!(
                resolve(&fixture(), unknown),
                Err(OpenError::Unknown),
                "{unknown}"
            );
        }
        let Err(OpenError::Ambiguous(text)) = resolve(&fixture(), "web") else {
            panic!("two volumes are called web");
        };
        assert!(text.contains(&Uuid::from_u128(1).to_string()));
        assert!(text.contains(&Uuid::from_u128(2).to_string()));
    }

    #[test]
    fn projects_tell_names_apart() {
        assert_eq!(resolve(&fixture(), "a/web"), volume(1));
        assert_eq!(resolve(&fixture(), "p-b/web"), volume(2));
        assert_eq!(resolve(&fixture(), "b/x/y"), volume(5));
    }
}
