//! What the pages that people see share: their browser, its parameters, who may see them, and how they look.

pub mod assets;
pub mod browser;
pub mod connections;
pub mod guard;
pub mod methods;
pub mod page;
pub mod pages;
pub mod parameters;
pub mod redirect_target;
pub mod refusals;
