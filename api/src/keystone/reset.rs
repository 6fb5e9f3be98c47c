//! A new password for a user while no daemon runs, for when nobody can log in any more.

use super::calls::change;
use super::password::Hash;
use super::records::{BY_NAME, User};
use super::users::PASSWORD_MAX;
use crate::catalogue::{Catalogue, Key, Query, View};
use crate::fault::Fault;

/// What to set.
#[derive(Clone, Copy)]
pub struct Reset<'a> {
    /// The user's name or id.
    pub user: &'a str,
    /// The id of the domain that the name is in.
    pub domain_id: &'a str,
    /// The new password.
    pub password: &'a str,
    /// Whether a disabled user may log in again.
    pub enable: bool,
}

/// Whose password was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasReset {
    /// The user's name.
    pub name: String,
    /// The id of the user's domain.
    pub domain_id: String,
    /// Whether the user may log in.
    pub enabled: bool,
}

/// Sets a user's password and ends the user's tokens. Blocks, and hashes.
///
/// # Errors
/// 404 without such a user, 400 for a password that no login would take, and those of the catalogue.
pub fn reset_password(catalogue: &Catalogue, reset: Reset<'_>) -> Result<WasReset, Fault> {
    let length = reset.password.chars().count();
    if length == 0 || length > PASSWORD_MAX {
        let message = format!("a password has 1 to {PASSWORD_MAX} characters");
        return Err(Fault::bad_request(message));
    }
    let hash = Hash::new(reset.password)?;
    catalogue.write(|writer| {
        let by_name = Key::new().text(reset.user).text(reset.domain_id);
        let found = match writer.first::<User>(&Query::by(BY_NAME, by_name))? {
            Some(user) => Some(user),
            None => writer.get::<User>(reset.user)?,
        };
        let missing = || Fault::not_found(format!("no user {} in the catalogue", reset.user));
        let mut user = found.ok_or_else(missing)?;
        user.password = Some(hash);
        user.epoch += 1;
        change(&mut user.enabled, reset.enable.then_some(true));
        writer.put(&user)?;
        Ok(WasReset {
            name: user.name,
            domain_id: user.domain_id,
            enabled: user.enabled,
        })
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::{Value, json};

    use super::{Reset, reset_password};
    use crate::fault::FaultKind;
    use crate::testing::{Cloud, PASSWORD};

    #[tokio::test]
    async fn a_reset_password_works_and_ends_what_was_before() {
        let cloud = Cloud::new();
        let token = cloud.admin().await;
        let reset = Reset {
            user: "admin",
            domain_id: "default",
            password: "another",
            enable: false,
        };
        let done = reset_password(cloud.services.catalogue(), reset).unwrap();
        assert!(done.enabled && done.name == "admin");
        let types = cloud
            .call(&token, "GET", "/volume/v3/types", Value::Null)
            .await;
        assert_eq!(types.status, StatusCode::UNAUTHORIZED);
        let old = cloud.login("admin", PASSWORD, json!("unscoped")).await;
        assert_eq!(old.status, StatusCode::UNAUTHORIZED);
        let new = cloud.login("admin", "another", json!("unscoped")).await;
        assert_eq!(new.status, StatusCode::CREATED);

        let kind = |user, password| {
            let reset = Reset {
                user,
                password,
                ..reset
            };
            let refused = reset_password(cloud.services.catalogue(), reset);
            refused.err().map(|fault| fault.kind())
        };
        assert_eq!(kind("nobody", "x"), Some(FaultKind::NotFound));
        assert_eq!(kind("admin", ""), Some(FaultKind::BadRequest));
    }
}
