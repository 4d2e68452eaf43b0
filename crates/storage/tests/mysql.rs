//! The mysql storage against MariaDB.

#[path = "common/clock.rs"]
mod clock;
mod common;
#[path = "common/records.rs"]
mod records;
mod sql;

use sql::server::Dialect::Mysql;

sql::tests_of!(
    Mysql,
    rules:
    keeps_the_rules,
    prefixes_keep_tenants_apart,
    shares_its_tables_with_the_reference_library,
    lists_that_cannot_be_kept_fail_nothing,
    nobody_waits_for_an_old_record_that_is_locked,
    what_has_expired_is_reclaimed,
    large_records_are_kept_or_refused,
);
sql::tests_of!(
    Mysql,
    faults:
    a_server_that_is_down,
    a_restart_that_nobody_noticed,
    a_frozen_server,
    a_frozen_server_at_the_first_operation,
    many_share_few_connections,
    the_queue_is_bounded,
    requests_that_go_away,
    a_network_with_faults,
    a_server_that_talks_nonsense,
    who_is_not_let_in,
    too_many_connections,
    certificates_are_checked,
    an_expired_certificate_is_refused,
    a_server_without_tls_is_refused,
);
