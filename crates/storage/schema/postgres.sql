-- Tables for sessions in PostgreSQL. scripts/schema writes this file for other names of the tables.
--
-- lua-resty-session reads and writes the same tables. Times are stored as the clock of UTC in the time zone of the connection:
-- let the server, the database or the role have the time zone UTC, or sessions may end an hour early or late when the clocks
-- change:  ALTER ROLE nginx SET timezone = 'UTC';
--
-- nginx needs:  GRANT SELECT, INSERT, UPDATE, DELETE ON "sessions", "sessions_meta" TO nginx;

CREATE TABLE IF NOT EXISTS "sessions" (
    sid  TEXT PRIMARY KEY,
    name TEXT,
    data TEXT,
    exp  TIMESTAMP WITH TIME ZONE
);

-- Expired rows are found by this index.
CREATE INDEX IF NOT EXISTS "sessions_exp_idx" ON "sessions" (exp);

-- Only used with session_store_metadata.
CREATE TABLE IF NOT EXISTS "sessions_meta" (
    aud TEXT,
    sub TEXT,
    sid TEXT REFERENCES "sessions" (sid) ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (aud, sub, sid)
);

-- Without it each row that is removed from "sessions" would search all of "sessions_meta".
CREATE INDEX IF NOT EXISTS "sessions_meta_sid_idx" ON "sessions_meta" (sid);
