-- The same tables as ../sqlite makes.

-- A player's conversation in one scene. The token itself is never stored, only its SHA-256.
CREATE TABLE sessions (
    id         BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    token_hash BYTEA  NOT NULL UNIQUE,
    scene      TEXT   NOT NULL,
    difficulty TEXT   NOT NULL,
    world      TEXT   NOT NULL, -- JSON
    used_at_ms BIGINT NOT NULL, -- since the epoch
    claim      BIGINT NOT NULL, -- counts the connections that had it
    server     BIGINT,          -- which has it; NULL once its state has been left here
    handover   TEXT   NOT NULL DEFAULT 'none' CHECK (handover IN ('none', 'wanted', 'leaving'))
);

CREATE INDEX sessions_by_use ON sessions (used_at_ms);
CREATE INDEX sessions_wanted ON sessions (server) WHERE handover = 'wanted';

-- What was asked, by the player or by the scene, and what the character answered.
CREATE TABLE turns (
    id         BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    session_id BIGINT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    asked_by   TEXT   NOT NULL CHECK (asked_by IN ('player', 'scene')),
    asked      TEXT   NOT NULL,
    answer     TEXT   NOT NULL,
    status     TEXT   NOT NULL CHECK (status IN ('success', 'error', 'cancelled')),
    ended_at_ms BIGINT NOT NULL
);

CREATE INDEX turns_by_session ON turns (session_id, id);
