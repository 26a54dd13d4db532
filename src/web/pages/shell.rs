//! What pages show beside their own matter: whose service it is, who is signed in, which application asks.

/// What all pages share.
#[derive(Clone, Copy, Debug)]
pub struct Shell<'a> {
    /// The name of this installation, shown in the header and at the end of each title.
    pub service_name: &'a str,
    /// Whose service it is, such as a state's vital records office; shown under the name.
    pub jurisdiction: Option<&'a str>,
    /// Where the logo is; none: the mark of this product.
    pub logo: Option<&'a str>,
    /// Who is signed in, on pages that are for somebody who is.
    pub account: Option<SignedInAs<'a>>,
}

/// Who is signed in, for the header; its button posts `csrf` to `/account/sign-out`.
#[derive(Clone, Copy, Debug)]
pub struct SignedInAs<'a> {
    /// Full name.
    pub name: &'a str,
    /// CSRF token.
    pub csrf: &'a str,
    /// Whether there is a way to the console in the header.
    pub administers: bool,
}

/// The application that sent the person here.
#[derive(Clone, Copy, Debug)]
pub struct Application<'a> {
    /// The client's name.
    pub name: &'a str,
    /// The agency that runs it.
    pub organization: Option<&'a str>,
}

/// The person who is signed in.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    /// Full name.
    pub name: &'a str,
    /// Username.
    pub username: &'a str,
}
