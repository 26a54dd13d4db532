//! Where the admin API, its OpenAPI document and its documentation are.

/// Where the operations are.
pub const BASE: &str = "/admin/api/v1";
/// Where the OpenAPI document is.
pub const OPENAPI: &str = "/admin/api/openapi.json";
/// Where the documentation is.
pub const DOCS: &str = "/admin/api/docs";
