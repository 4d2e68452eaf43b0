//! The statements.
//!
//! Tables made for other readers compare texts without regard to case, in which two different names in base64 may be equal: what
//! a stranger may choose is compared as bytes.

/// Their texts, for two tables.
pub(super) struct Statements {
    meta: String,
    /// Key, name, now.
    pub(super) get: String,
    /// Key, name, value, expiry.
    pub(super) set: String,
    /// Latest expiry, key, name, latest expiry.
    pub(super) expire: String,
    /// Key, name.
    pub(super) delete: String,
    /// Audience, subject, audience, subject, name, now.
    pub(super) list: String,
    /// Rows that expired before a time, and how many of them.
    pub(super) reclaim: String,
}

const SAME_NAME: &str = "CAST(name AS BINARY) = CAST(? AS BINARY)";

impl Statements {
    /// For the tables of these quoted names.
    pub(super) fn new(table: String, meta: String) -> Self {
        Self {
            get: format!(
                "SELECT data FROM {table} WHERE sid = ? AND {SAME_NAME} AND exp > FROM_UNIXTIME(?)"
            ),
            // The form with an alias for the new row is unknown to MariaDB.
            set: format!(
                "INSERT INTO {table} (sid, name, data, exp) VALUES (?, ?, ?, FROM_UNIXTIME(?)) \
                 ON DUPLICATE KEY UPDATE name = VALUES(name), data = VALUES(data), exp = VALUES(exp)"
            ),
            expire: format!(
                "UPDATE {table} SET exp = LEAST(exp, FROM_UNIXTIME(?)) \
                 WHERE sid = ? AND {SAME_NAME} AND exp > FROM_UNIXTIME(?)"
            ),
            delete: format!("DELETE FROM {table} WHERE sid = ? AND {SAME_NAME}"),
            list: format!(
                "SELECT sid, CAST(UNIX_TIMESTAMP(exp) AS UNSIGNED) FROM {meta} JOIN {table} USING (sid) \
                 WHERE aud = ? AND sub = ? AND CAST(aud AS BINARY) = CAST(? AS BINARY) \
                 AND CAST(sub AS BINARY) = CAST(? AS BINARY) AND {SAME_NAME} AND exp > FROM_UNIXTIME(?)"
            ),
            reclaim: format!(
                "DELETE FROM {table} WHERE exp < FROM_UNIXTIME(?) ORDER BY exp LIMIT ?"
            ),
            meta,
        }
    }

    /// A key into so many lists. Audience, subject and key of each.
    pub(super) fn enlist(&self, lists: usize) -> String {
        let rows = vec!["(?, ?, ?)"; lists].join(", ");
        format!(
            "INSERT INTO {} (aud, sub, sid) VALUES {rows} ON DUPLICATE KEY UPDATE sid = VALUES(sid)",
            self.meta
        )
    }

    /// A key out of so many lists. Key; audience and subject of each.
    pub(super) fn withdraw(&self, lists: usize) -> String {
        let rows = vec!["(?, ?)"; lists].join(", ");
        format!(
            "DELETE FROM {} WHERE sid = ? AND (aud, sub) IN ({rows})",
            self.meta
        )
    }
}
