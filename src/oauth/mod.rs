//! The protocol, one file an endpoint or grant, by the RFCs' names.

pub mod access_token;
pub mod authorization_code;
pub mod authorization_decision;
pub mod authorization_request;
pub mod authorize;
pub mod backchannel_logout;
pub mod bearer;
pub mod client_authentication;
pub mod client_credentials;
pub mod code_issuance;
pub mod consent;
pub mod id_token;
pub mod introspect;
pub mod jwks;
pub mod logout;
pub mod metadata;
pub mod person_tokens;
pub mod refresh_token;
pub mod revoke;
pub mod token;
pub mod token_response;
pub mod userinfo;
