//! The one list of all operations.

use super::operation::Group;
use super::{
    access_review, agencies, api_tokens, apply, audit, clients, identity_providers, keys, policy,
    resource_servers, sessions_and_grants, users,
};

/// All operations, by noun.
pub fn groups() -> Vec<Group> {
    vec![
        agencies::group(),
        clients::group(),
        resource_servers::group(),
        users::group(),
        sessions_and_grants::sessions_group(),
        sessions_and_grants::grants_group(),
        identity_providers::group(),
        policy::group(),
        keys::group(),
        audit::group(),
        access_review::group(),
        apply::group(),
        api_tokens::group(),
        api_tokens::me(),
    ]
}
