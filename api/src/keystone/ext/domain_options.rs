//! The options that a domain's configuration can have, with the defaults that the real service shows.

use serde_json::{Value, json};

use self::Preset::{Flag, Fraction, Number, Text, Texts, Unset};

/// What an option is without a configuration.
#[derive(Clone, Copy)]
enum Preset {
    Unset,
    Text(&'static str),
    Flag(bool),
    Number(i64),
    Fraction(f64),
    Texts(&'static [&'static str]),
}

/// The options of how a domain's users are kept.
const IDENTITY: [(&str, Preset); 2] = [("driver", Text("sql")), ("list_limit", Unset)];

/// The options of a directory of users.
const LDAP: [(&str, Preset); 49] = [
    ("url", Text("ldap://localhost")),
    ("user", Unset),
    ("suffix", Text("cn=example,cn=com")),
    ("query_scope", Text("one")),
    ("page_size", Number(0)),
    ("alias_dereferencing", Text("default")),
    ("debug_level", Unset),
    ("chase_referrals", Unset),
    ("user_tree_dn", Unset),
    ("user_filter", Unset),
    ("user_objectclass", Text("inetOrgPerson")),
    ("user_id_attribute", Text("cn")),
    ("user_name_attribute", Text("sn")),
    ("user_mail_attribute", Text("mail")),
    ("user_description_attribute", Text("description")),
    ("user_pass_attribute", Text("userPassword")),
    ("user_enabled_attribute", Text("enabled")),
    ("user_enabled_invert", Flag(false)),
    ("user_enabled_mask", Number(0)),
    ("user_enabled_default", Text("True")),
    ("user_attribute_ignore", Texts(&["default_project_id"])),
    ("user_default_project_id_attribute", Unset),
    ("user_enabled_emulation", Flag(false)),
    ("user_enabled_emulation_dn", Unset),
    ("user_enabled_emulation_use_group_config", Flag(false)),
    ("user_additional_attribute_mapping", Texts(&[])),
    ("group_tree_dn", Unset),
    ("group_filter", Unset),
    ("group_objectclass", Text("groupOfNames")),
    ("group_id_attribute", Text("cn")),
    ("group_name_attribute", Text("ou")),
    ("group_members_are_ids", Flag(false)),
    ("group_member_attribute", Text("member")),
    ("group_desc_attribute", Text("description")),
    ("group_attribute_ignore", Texts(&[])),
    ("group_additional_attribute_mapping", Texts(&[])),
    ("tls_cacertfile", Unset),
    ("tls_cacertdir", Unset),
    ("use_tls", Flag(false)),
    ("tls_req_cert", Text("demand")),
    ("use_pool", Flag(true)),
    ("pool_size", Number(10)),
    ("pool_retry_max", Number(3)),
    ("pool_retry_delay", Fraction(0.1)),
    ("pool_connection_timeout", Number(-1)),
    ("pool_connection_lifetime", Number(600)),
    ("use_auth_pool", Flag(true)),
    ("auth_pool_size", Number(100)),
    ("auth_pool_connection_lifetime", Number(60)),
];

/// What is taken and never shown.
const SENSITIVE: [(&str, &str); 1] = [("ldap", "password")];

/// The groups of options.
pub(super) const GROUPS: [&str; 2] = ["identity", "ldap"];

fn table(group: &str) -> &'static [(&'static str, Preset)] {
    match group {
        "identity" => &IDENTITY,
        "ldap" => &LDAP,
        _ => &[],
    }
}

/// Whether an option is taken and never shown.
pub(super) fn is_sensitive(group: &str, option: &str) -> bool {
    SENSITIVE.contains(&(group, option))
}

/// Whether a group has an option, shown or not.
pub(super) fn has(group: &str, option: &str) -> bool {
    preset(group, option).is_some() || is_sensitive(group, option)
}

/// An option's default, if it is shown.
pub(super) fn preset(group: &str, option: &str) -> Option<Value> {
    let mut options = presets(group);
    options
        .find(|(name, _)| *name == option)
        .map(|(_, value)| value)
}

/// All defaults of a group that are shown.
pub(super) fn presets(group: &str) -> impl Iterator<Item = (&'static str, Value)> {
    table(group).iter().map(|(name, preset)| {
        let value = match *preset {
            Unset => Value::Null,
            Text(text) => json!(text),
            Flag(flag) => json!(flag),
            Number(number) => json!(number),
            Fraction(number) => json!(number),
            Texts(texts) => json!(texts),
        };
        (*name, value)
    })
}
