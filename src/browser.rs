//! What login and authorization share of the browser.
