//! The statements.

/// Which statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record. Key, name, now.
    Get,
    /// A write without an old record. Key, name, value, expiry.
    Set,
    /// A write that replaces. Key, name, value, expiry, old key, its latest expiry.
    Replace,
    /// A record removed. Key, name.
    Delete,
    /// Lists that have a key. Audiences, subjects, key.
    Enlist,
    /// Lists that have a key no longer. Audiences, subjects, key.
    Withdraw,
    /// A list. Audience, subject, name, now.
    List,
    /// Rows that expired before a time, and how many of them.
    Reclaim,
}

impl Kind {
    pub(super) const COUNT: usize = Self::Reclaim as usize + 1;
}

/// Their texts, for two tables.
pub(super) struct Statements([String; Kind::COUNT]);

/// Seconds as the tables have them: the clock of UTC, in the connection's time zone.
macro_rules! clock {
    ($parameter:literal) => {
        concat!("(TO_TIMESTAMP($", $parameter, ") AT TIME ZONE 'UTC')")
    };
}

impl Statements {
    /// For the tables of these quoted names.
    pub(super) fn new(table: &str, meta: &str) -> Self {
        let set = format!(
            concat!(
                "INSERT INTO {} (sid, name, data, exp) VALUES ($1, $2, $3, ",
                clock!(4),
                ") ON CONFLICT (sid) DO UPDATE SET name = EXCLUDED.name, data = EXCLUDED.data, exp = EXCLUDED.exp"
            ),
            table
        );
        // Who has the old record locked is about to do the same to it; nobody waits for that.
        let replace = format!(
            concat!(
                "WITH old AS (UPDATE {table} SET exp = LEAST(exp, ",
                clock!(6),
                ") WHERE sid IN (SELECT sid FROM {table} WHERE sid = $5 AND name = $2 AND exp > ",
                clock!(6),
                " FOR NO KEY UPDATE SKIP LOCKED)) {set}"
            ),
            table = table,
            set = set
        );
        let of = |kind| match kind {
            Kind::Get => format!(
                concat!(
                    "SELECT data FROM {} WHERE sid = $1 AND name = $2 AND exp > ",
                    clock!(3)
                ),
                table
            ),
            Kind::Set => set.clone(),
            Kind::Replace => replace.clone(),
            Kind::Delete => format!("DELETE FROM {table} WHERE sid = $1 AND name = $2"),
            Kind::Enlist => format!(
                "INSERT INTO {meta} (aud, sub, sid) SELECT aud, sub, $3 FROM UNNEST($1::text[], $2::text[]) AS lists (aud, sub) \
                 ON CONFLICT DO NOTHING"
            ),
            Kind::Withdraw => format!(
                "DELETE FROM {meta} WHERE sid = $3 AND (aud, sub) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))"
            ),
            Kind::List => format!(
                concat!(
                    "SELECT sid, EXTRACT(EPOCH FROM exp::timestamp)::bigint FROM {meta} JOIN {table} USING (sid) ",
                    "WHERE aud = $1 AND sub = $2 AND name = $3 AND exp > ",
                    clock!(4)
                ),
                meta = meta,
                table = table
            ),
            // As an array the rows are looked for once, by the index on exp.
            Kind::Reclaim => format!(
                concat!(
                    "DELETE FROM {table} WHERE sid = ANY (ARRAY(SELECT sid FROM {table} WHERE exp < ",
                    clock!(1),
                    " ORDER BY exp LIMIT $2 FOR UPDATE SKIP LOCKED))"
                ),
                table = table
            ),
        };
        Self([
            of(Kind::Get),
            of(Kind::Set),
            of(Kind::Replace),
            of(Kind::Delete),
            of(Kind::Enlist),
            of(Kind::Withdraw),
            of(Kind::List),
            of(Kind::Reclaim),
        ])
    }

    pub(super) fn text(&self, kind: Kind) -> &str {
        &self.0[kind as usize]
    }
}
