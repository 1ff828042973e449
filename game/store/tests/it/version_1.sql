-- The tables of schema version 1; the test that reads this fills them.
    CREATE TABLE players (
        player_id TEXT NOT NULL PRIMARY KEY,
        display_name TEXT NOT NULL,
        rating INTEGER NOT NULL,
        games_played INTEGER NOT NULL,
        wins INTEGER NOT NULL,
        losses INTEGER NOT NULL,
        draws INTEGER NOT NULL,
        version INTEGER NOT NULL,
        active_game_id TEXT,
        created_at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE games (
        game_id TEXT NOT NULL PRIMARY KEY,
        white_id TEXT NOT NULL,
        black_id TEXT NOT NULL,
        owner_release TEXT NOT NULL,
        owner_instance TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        state TEXT NOT NULL,
        ended_at_ms INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX running_games ON games (owner_release, owner_instance) WHERE ended_at_ms IS NULL;
    CREATE INDEX ended_games ON games (ended_at_ms) WHERE ended_at_ms IS NOT NULL;

    -- player_id and command_id: the command that caused the event, NULL where the server did.
    CREATE TABLE events (
        game_id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        player_id TEXT,
        command_id TEXT,
        event TEXT NOT NULL,
        PRIMARY KEY (game_id, sequence)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE answers (
        id INTEGER PRIMARY KEY,
        game_id TEXT NOT NULL,
        player_id TEXT NOT NULL,
        command_id TEXT NOT NULL,
        payload_hash BLOB NOT NULL,
        accepted INTEGER NOT NULL,
        answer TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        UNIQUE (game_id, player_id, command_id)
    ) STRICT;
    CREATE INDEX rejections ON answers (game_id, id) WHERE accepted = 0;

    -- The newest snapshot of each profile. A copy elsewhere is caught up by reading from the
    -- position that it has reached.
    CREATE TABLE outbox (
        player_id TEXT NOT NULL PRIMARY KEY,
        position INTEGER NOT NULL UNIQUE,
        version INTEGER NOT NULL,
        body TEXT NOT NULL,
        sha256 BLOB NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
