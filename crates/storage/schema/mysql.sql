-- Tables for sessions in MySQL and MariaDB. scripts/schema writes this file for other names of the tables.
--
-- lua-resty-session reads and writes the same tables. Texts are compared as bytes (ascii_bin): in base64, letters of another
-- case are another text. Times are stored in the time zone of the connection: let the server have default_time_zone = '+00:00',
-- or sessions may end an hour early or late when the clocks change.
--
-- nginx needs:  GRANT SELECT, INSERT, UPDATE, DELETE ON `sessions` TO nginx;  and the same on `sessions_meta`.

CREATE TABLE IF NOT EXISTS `sessions` (
    sid  CHAR(43) PRIMARY KEY,
    name VARCHAR(255),
    data MEDIUMTEXT,
    exp  DATETIME,
    INDEX (exp)
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;

-- Only used with session_store_metadata.
CREATE TABLE IF NOT EXISTS `sessions_meta` (
    aud VARCHAR(255),
    sub VARCHAR(255),
    sid CHAR(43),
    PRIMARY KEY (aud, sub, sid),
    CONSTRAINT FOREIGN KEY (sid) REFERENCES `sessions` (sid) ON DELETE CASCADE ON UPDATE CASCADE
) ENGINE = InnoDB CHARACTER SET ascii COLLATE ascii_bin;
