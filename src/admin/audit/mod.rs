//! The record at the console: searched, one event whole, checked, taken out. Looking at it is recorded as well.

pub mod check;
pub mod difference;
pub mod event;
pub mod export;
pub mod filters;
pub mod list;
pub mod words;
