//! PostgreSQL and MariaDB for the tests of both SQL storages, and what both must stand.

// Each test file uses some of it.
#![allow(dead_code)]

pub mod faults;
pub mod process;
pub mod proxy;
pub mod rules;
pub mod server;

/// A test for each function of the modules above that is named.
macro_rules! tests_of {
    ($dialect:expr, $module:ident: $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                sql::$module::$name($dialect).await;
            }
        )+
    };
}
pub(crate) use tests_of;
