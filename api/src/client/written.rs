//! A cloud's settings as the files that other clients read.

use std::fmt::Write;

use serde_json::{Value, json};

use super::cloud::{Credentials, Domain, User};
use super::secret::Secret;
use super::{Cloud, Error, ErrorKind, Result, Scope};

/// Whether a file has the secret in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// It has.
    Included,
    /// Whoever uses the file is asked.
    LeftOut,
}

impl Cloud {
    /// The same cloud for another user of the domain `default`, by name, on a project by name.
    #[must_use]
    pub fn for_user(&self, name: &str, project: Option<&str>, password: String) -> Self {
        let domain = || Domain::Id("default".to_owned());
        let user = User::Name {
            name: name.to_owned(),
            domain: domain(),
        };
        let scope = match project {
            Some(name) => Scope::ProjectName {
                name: name.to_owned(),
                domain: domain(),
            },
            None => Scope::Unscoped,
        };
        Self {
            credentials: Credentials::Password {
                user,
                password: Secret::new(password),
            },
            scope,
            ..self.clone()
        }
    }

    /// A `clouds.yaml` with this cloud under a name.
    ///
    /// # Errors
    /// `Settings` for what YAML cannot say.
    pub fn clouds_yaml(&self, name: &str, secrets: Secrets) -> Result<String> {
        let mut auth = serde_json::Map::new();
        for (key, value) in self.auth(secrets) {
            auth.insert(key.to_owned(), json!(value));
        }
        let mut cloud = json!({
            "auth": auth,
            "interface": self.interface,
            "identity_api_version": 3,
            "volume_api_version": 3,
        });
        if let Credentials::Token(_) = &self.credentials {
            cloud["auth_type"] = json!("token");
        }
        if let Some(region) = &self.region {
            cloud["region_name"] = json!(region);
        }
        if let Some(path) = &self.ca_file {
            cloud["cacert"] = json!(path);
        }
        if !self.verify {
            cloud["verify"] = json!(false);
        }
        let file: Value = json!({"clouds": { name: cloud }});
        serde_yaml_ng::to_string(&file)
            .map_err(|_| Error::new(ErrorKind::Settings, "these settings cannot be written"))
    }

    /// A script for `sh` that sets the variables of this cloud. Without secrets it asks for the
    /// password where it is read.
    pub fn openrc(&self, secrets: Secrets) -> String {
        let mut text = String::from("unset OS_CLOUD\n");
        let mut set = |name: &str, value: &str| {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "export {name}={}", quoted(value));
        };
        for (key, value) in self.auth(secrets) {
            set(&format!("OS_{}", key.to_uppercase()), &value);
        }
        if let Credentials::Token(_) = &self.credentials {
            set("OS_AUTH_TYPE", "token");
        }
        set("OS_IDENTITY_API_VERSION", "3");
        set("OS_VOLUME_API_VERSION", "3");
        set("OS_INTERFACE", &self.interface);
        if let Some(region) = &self.region {
            set("OS_REGION_NAME", region);
        }
        if let Some(path) = &self.ca_file {
            set("OS_CACERT", &path.to_string_lossy());
        }
        if !self.verify {
            set("OS_INSECURE", "true");
        }
        if secrets == Secrets::LeftOut {
            let name = match &self.credentials {
                Credentials::Password { .. } => "OS_PASSWORD",
                Credentials::Token(_) => "OS_TOKEN",
            };
            text.push_str("printf 'Password: ' >&2\nstty -echo\nread -r ");
            text.push_str(name);
            text.push_str("\nstty echo\nprintf '\\n' >&2\nexport ");
            text.push_str(name);
            text.push('\n');
        }
        text
    }

    /// Who asks, where and for what, by the names of openstacksdk.
    fn auth(&self, secrets: Secrets) -> Vec<(&'static str, String)> {
        let mut auth = vec![("auth_url", self.auth_url.as_str().to_owned())];
        let secret = match &self.credentials {
            Credentials::Password { user, password } => {
                match user {
                    User::Id(id) => auth.push(("user_id", id.clone())),
                    User::Name { name, domain } => {
                        auth.push(("username", name.clone()));
                        auth.push(named(domain, ["user_domain_id", "user_domain_name"]));
                    }
                }
                ("password", password)
            }
            Credentials::Token(token) => ("token", token),
        };
        if secrets == Secrets::Included {
            auth.push((secret.0, secret.1.reveal().to_owned()));
        }
        match &self.scope {
            Scope::ProjectId(id) => auth.push(("project_id", id.clone())),
            Scope::ProjectName { name, domain } => {
                auth.push(("project_name", name.clone()));
                auth.push(named(domain, ["project_domain_id", "project_domain_name"]));
            }
            Scope::Domain(domain) => auth.push(named(domain, ["domain_id", "domain_name"])),
            Scope::System => auth.push(("system_scope", "all".to_owned())),
            Scope::Unscoped => {}
        }
        auth
    }
}

/// A domain under the name for ids or the one for names.
fn named(domain: &Domain, [id, name]: [&'static str; 2]) -> (&'static str, String) {
    match domain {
        Domain::Id(text) => (id, text.clone()),
        Domain::Name(text) => (name, text.clone()),
    }
}

/// A text as one word of `sh`, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{Cloud, Secrets, quoted};
    use crate::client::Source;

    fn cloud(pairs: &[(&str, &str)]) -> Cloud {
        let env = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        Cloud::load_from(&Source::default(), &env).unwrap()
    }

    const URL: (&str, &str) = ("OS_AUTH_URL", "http://a.test/v3");
    const USER: (&str, &str) = ("OS_USERNAME", "it's");
    const PASSWORD: (&str, &str) = ("OS_PASSWORD", "p$1 'x\" #: \\");

    #[test]
    fn what_is_written_is_read_again() {
        let clouds = [
            cloud(&[URL, USER, PASSWORD, ("OS_PROJECT_NAME", "p")]),
            cloud(&[
                URL,
                ("OS_USER_ID", "u"),
                PASSWORD,
                ("OS_SYSTEM_SCOPE", "all"),
            ]),
            cloud(&[
                URL,
                ("OS_TOKEN", "t"),
                ("OS_DOMAIN_NAME", "d"),
                ("OS_INSECURE", "1"),
            ]),
            cloud(&[URL, USER, PASSWORD]).for_user("other", Some("q"), "1234".to_owned()),
        ];
        for cloud in clouds {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("clouds.yaml");
            std::fs::write(&path, cloud.clouds_yaml("c", Secrets::Included).unwrap()).unwrap();
            let path = path.to_str().unwrap();
            let env = |name: &str| (name == "OS_CLIENT_CONFIG_FILE").then(|| path.to_owned());
            assert_eq!(Cloud::load_from(&Source::default(), &env).unwrap(), cloud);
        }
    }

    #[test]
    fn secrets_can_be_left_out() {
        let cloud = cloud(&[URL, USER, ("OS_PASSWORD", "topsecret")]);
        let with = cloud.openrc(Secrets::Included);
        assert!(with.contains("export OS_PASSWORD='topsecret'\n"));
        assert!(with.contains("export OS_USERNAME='it'\\''s'\n"));
        for text in [
            cloud.openrc(Secrets::LeftOut),
            cloud.clouds_yaml("c", Secrets::LeftOut).unwrap(),
        ] {
            assert!(!text.contains("topsecret"));
        }
        assert_eq!(quoted("a'; rm -rf \n$(x)"), "'a'\\''; rm -rf \n$(x)'");
    }
}
