//! The defaults, and what files may change of them; the whole through the router in `matrix`.

mod matrix;
mod scopes;
mod world;

use std::io::Write;

use super::{Credentials, ErrorKind, Rule, Rules, Target};
use crate::auth::Scope;

fn project(id: &str) -> Scope {
    Scope::Project {
        id: id.to_owned(),
        name: "name".to_owned(),
        domain_id: "default".to_owned(),
    }
}

/// Whether a caller of a scope with roles may act on an object of project `p`, made by user `u`.
fn permits(rules: &Rules, rule: Rule, scope: &Scope, roles: &[&str]) -> bool {
    let roles: Vec<String> = roles.iter().map(|&role| role.to_owned()).collect();
    let caller = Credentials {
        user_id: "u",
        user_domain_id: "default",
        scope,
        is_admin: roles.iter().any(|role| role == "admin"),
        roles: &roles,
    };
    let target = Target {
        project_id: Some("p"),
        user_id: Some("u"),
    };
    rules.permits(rule, &caller, &target)
}

#[test]
fn names_are_unique_and_defaults_compile() {
    let rules = Rules::default();
    let names: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    for (number, rule) in Rule::ALL.iter().enumerate() {
        assert_eq!(*rule as usize, number);
        assert!(
            permits(&rules, *rule, &project("q"), &["admin"]),
            "{rule:?}"
        );
        assert!(
            permits(&rules, *rule, &Scope::System, &["admin"]),
            "{rule:?}"
        );
        assert!(
            !permits(&rules, *rule, &project("q"), &["member", "reader"]),
            "{rule:?}"
        );
        assert!(
            !permits(&rules, *rule, &Scope::System, &["member", "reader"]),
            "{rule:?}"
        );
        assert!(!permits(&rules, *rule, &project("p"), &[]), "{rule:?}");
    }
}

#[test]
fn roles_on_the_own_project_permit_what_they_should() {
    let rules = Rules::default();
    let may = |rule, role: &str| permits(&rules, rule, &project("p"), &[role]);
    assert!(may(Rule::VolumeGet, "reader") && !may(Rule::VolumeGet, "member"));
    assert!(may(Rule::VolumeCreate, "member") && !may(Rule::VolumeCreate, "reader"));
    assert!(!may(Rule::ServicesIndex, "member"));
}

#[test]
fn files_replace_rules_and_named_expressions() {
    let rules = Rules::parse(
        "# ours\n\
         \"volume:delete\": \"rule:owner or rule:admin_api\"\n\
         \"owner\": \"user_id:%(user_id)s and not role:guest\"\n\
         volume:get: '@'\n\
         volume:update: '!'\n\
         volume_extension:services:index: system_scope:all and role:reader\n\
         xena_system_admin_or_project_member: role:operator\n",
    )
    .unwrap();
    let may = |rule, scope: &Scope, role: &str| permits(&rules, rule, scope, &[role]);
    assert!(may(Rule::VolumeDelete, &project("q"), "x"));
    assert!(!may(
        Rule::VolumeDelete,
        &project("q"),
        "GUEST".to_lowercase().as_str()
    ));
    assert!(may(Rule::VolumeGet, &Scope::Unscoped, "x"));
    assert!(!may(Rule::VolumeUpdate, &project("p"), "admin"));
    assert!(may(Rule::ServicesIndex, &Scope::System, "reader"));
    assert!(!may(Rule::ServicesIndex, &project("p"), "reader"));
    assert!(may(Rule::VolumeCreate, &project("q"), "Operator"));
    assert!(!may(Rule::VolumeCreate, &project("p"), "member"));
}

#[test]
fn empty_files_change_nothing() {
    for text in ["", "# comments\n#\"volume:get\": \"!\"\n", "{}"] {
        let rules = Rules::parse(text).unwrap();
        assert!(
            permits(&rules, Rule::VolumeGet, &project("p"), &["reader"]),
            "{text}"
        );
    }
}

#[test]
fn what_does_not_make_sense_is_refused_with_its_rule_and_line() {
    let chain: String = (0..300)
        .map(|n| format!("h{n}: rule:h{}\n", n + 1))
        .collect();
    let wide: String = (0..20)
        .map(|n| format!("h{n}: rule:h{} or rule:h{}\n", n + 1, n + 1))
        .collect();
    let chain = format!("volume:get: rule:h0\nh300: '@'\n{chain}");
    let wide = format!("volume:get: rule:h0\nh20: '@'\n{wide}");
    for (text, kind, told) in [
        ("a: [", ErrorKind::Syntax, "line 1"),
        (
            "volume:get: '@'\nvolume:create: role:a b\n",
            ErrorKind::Syntax,
            "volume:create: `b`",
        ),
        (
            "volume:get: '@'\nvolume:create: role:a b\n",
            ErrorKind::Syntax,
            "line 2: volume:create: ",
        ),
        ("volume:get: [role:a]\n", ErrorKind::Syntax, "volume:get"),
        ("- volume:get\n", ErrorKind::Syntax, "expression"),
        (
            "volume:get: '@'\nvolume:get: '!'\n",
            ErrorKind::Syntax,
            "line 1: volume:get: is there twice",
        ),
        (
            "volume:got: '@'",
            ErrorKind::UnknownRule,
            "volume:got: there is no such rule",
        ),
        (
            "volume:get: rule:nope",
            ErrorKind::UnknownRule,
            "volume:get: refers to rule nope",
        ),
        (
            "volume:get: not rule:volume:get",
            ErrorKind::Cycle,
            "volume:get: refers to itself",
        ),
        (
            "admin_api: rule:volume:get",
            ErrorKind::Cycle,
            "refers to itself",
        ),
        (&chain, ErrorKind::TooLarge, "too large"),
        (&wide, ErrorKind::TooLarge, "too large"),
    ] {
        let error = Rules::parse(text).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(error.to_string().contains(told), "{text}: {error}");
    }
}

#[test]
fn files_are_named_in_errors_and_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.yaml");
    assert_eq!(
        Rules::load(&path).unwrap_err().kind(),
        ErrorKind::Unreadable
    );
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"volume:get: '!'\n").unwrap();
    let rules = Rules::load(&path).unwrap();
    assert!(!permits(&rules, Rule::VolumeGet, &project("p"), &["admin"]));
    file.write_all(b"volume:got: '!'\n").unwrap();
    let error = Rules::load(&path).unwrap_err().to_string();
    assert!(
        error.contains("policy.yaml: line 2: volume:got: there"),
        "{error}"
    );
    file.write_all(&vec![b'#'; 1 << 20]).unwrap();
    assert_eq!(Rules::load(&path).unwrap_err().kind(), ErrorKind::TooLarge);
}
