-- What schema 5 of SQLite adds to schema4.sql: its migration as that version ran it, and what a registry wrote then.
BEGIN TRANSACTION;
INSERT INTO "_sqlx_migrations" VALUES(5,'registries','2026-12-02 09:14:07',1,X'0B891C2FABC781B7DCF3416BE0DC164EEBD6B2824254601CCEB8EBCBF46F30115A5413A074CFC895123060F6A55DEBD7',612004);
CREATE TABLE agentnet_database (
    id TEXT NOT NULL PRIMARY KEY
) STRICT;
INSERT INTO agentnet_database VALUES('5b0c1a83f2d04e6f9a7c8d1e2f304152');
CREATE TABLE agentnet_registries (
    number       TEXT    NOT NULL PRIMARY KEY,
    server_id    TEXT    NOT NULL,
    announce_key TEXT    NOT NULL,
    beat_at      INTEGER NOT NULL
) STRICT;
INSERT INTO agentnet_registries VALUES('0000000000000007','registry','key',1796202847000000);
COMMIT;
