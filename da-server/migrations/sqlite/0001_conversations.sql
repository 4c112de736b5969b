-- A player's conversation in one scene. The token itself is never stored, only its SHA-256.
CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY,
    token_hash BLOB    NOT NULL UNIQUE,
    scene      TEXT    NOT NULL,
    difficulty TEXT    NOT NULL,
    world      TEXT    NOT NULL, -- JSON
    used_at_ms INTEGER NOT NULL  -- since the epoch
) STRICT;

CREATE INDEX sessions_by_use ON sessions (used_at_ms);

-- What was asked, by the player or by the scene, and what the character answered.
CREATE TABLE turns (
    id         INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    asked_by   TEXT    NOT NULL CHECK (asked_by IN ('player', 'scene')),
    asked      TEXT    NOT NULL,
    answer     TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('success', 'error', 'cancelled')),
    ended_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX turns_by_session ON turns (session_id, id);
