//! Tests come with the server's library.
