//! OpenStack Block Storage, Identity and native API.
