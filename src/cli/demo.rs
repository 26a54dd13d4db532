//! `mdi-auth demo`: a working deployment in seconds.
