//! A demo: the authorization server with what belongs around it, so that both dataflows can be tried in a minute. The
//! systems are stubs, the people invented; what they say to the authorization server is real OAuth over real HTTPS.

pub mod case_system;
pub mod fhir;
pub mod introduction;
pub mod listener;
pub mod parties;
pub mod secrets;
pub mod site;
