-- Who has a session, where several servers share this database.
ALTER TABLE sessions ADD COLUMN claim INTEGER NOT NULL DEFAULT 0; -- counts the connections that had it
ALTER TABLE sessions ADD COLUMN server INTEGER; -- which has it; NULL once its state has been left here
ALTER TABLE sessions ADD COLUMN handover TEXT NOT NULL DEFAULT 'none'
    CHECK (handover IN ('none', 'wanted', 'leaving'));

CREATE INDEX sessions_wanted ON sessions (server) WHERE handover = 'wanted';
