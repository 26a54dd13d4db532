//! The integration tests: one binary, a module for each subject.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::type_complexity,
    clippy::too_many_lines,
    reason = "a test fails by panicking, runs by the real clock unless it moves its own, and may be a long table"
)]

mod account;
mod activity;
mod acts;
mod addresses;
mod admin_api;
mod admin_api_fuzz;
mod agencies;
mod apply;
mod architecture;
mod attacks;
mod audit;
mod authorization_decision;
mod browser;
mod chaos;
mod command_line;
mod config;
mod conformance;
mod connections;
mod console;
mod consumers;
mod demo;
mod faults;
mod fuzz;
mod harness;
mod headers;
mod journeys;
mod jwks_uri;
mod kill;
mod links;
mod logout;
mod mail;
mod manipulations;
mod names;
mod nouns;
mod outbound;
mod pages;
mod passkeys;
mod password_policy;
mod people_search;
mod person_flow;
mod policy;
mod promises;
mod races;
mod registry;
mod scope;
mod second_factor;
mod store;
mod support;
mod system_flow;
mod tls;
mod upstream;
mod upstream_journeys;
