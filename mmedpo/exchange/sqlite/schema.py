"""The tables of a run's database, and what finds its way in them."""

from __future__ import annotations

TABLES = """
CREATE TABLE run (
    key TEXT PRIMARY KEY,           -- state, until, seed, recipe ...
    value TEXT
) WITHOUT ROWID;

CREATE TABLE stages (               -- how cases flowed
    stage TEXT NOT NULL,
    what TEXT NOT NULL,             -- what is counted
    count INTEGER NOT NULL,
    part TEXT,
    kind TEXT,
    reason TEXT
);

CREATE TABLE images (
    sha256 TEXT PRIMARY KEY,        -- of mode, size and pixels
    path TEXT,                      -- where the file is; NULL where it is left out
    content BLOB,                   -- the file, where it was asked for
    restricted INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE cases (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,             -- as the reader named it
    use TEXT NOT NULL,              -- training or evaluation
    kind TEXT,                      -- closed, open, report
    patient TEXT,                   -- what belongs together: the patient, else the image
    question TEXT,
    answer TEXT,                    -- the clinician's
    image TEXT REFERENCES images (sha256),
    images INTEGER,                 -- how many it has
    about TEXT,                     -- labels that the question is about
    restricted INTEGER NOT NULL,
    notes TEXT,                     -- JSON
    UNIQUE (use, name)
);

CREATE TABLE case_images (
    case_id INTEGER NOT NULL REFERENCES cases (id),
    number INTEGER NOT NULL,        -- in the order in which the model is shown them
    image TEXT NOT NULL REFERENCES images (sha256),
    PRIMARY KEY (case_id, number)
) WITHOUT ROWID;

CREATE TABLE regions (
    id INTEGER PRIMARY KEY,
    case_id INTEGER NOT NULL REFERENCES cases (id),
    label TEXT,
    confidence REAL,
    box_left REAL, box_top REAL, box_right REAL, box_bottom REAL,
    number INTEGER NOT NULL         -- which of the case's images it lies in
);

CREATE TABLE pairs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,             -- case/dispreference/number
    case_id INTEGER NOT NULL REFERENCES cases (id),
    kind TEXT NOT NULL,             -- what was changed: text or image
    made_by TEXT,                   -- the dispreference
    question TEXT,
    chosen TEXT,
    rejected TEXT,
    chosen_image TEXT REFERENCES images (sha256),
    rejected_image TEXT REFERENCES images (sha256),
    relevance REAL,                 -- NULL: nobody rated it
    weight REAL NOT NULL,
    scorer TEXT,
    evidence TEXT,                  -- the scorer's, JSON; its votes have a table
    votes INTEGER NOT NULL,
    vote_gap REAL,                  -- between the lowest and the highest vote
    notes TEXT                      -- JSON
);

CREATE TABLE votes (
    id INTEGER PRIMARY KEY,
    pair_id INTEGER NOT NULL REFERENCES pairs (id),
    number INTEGER NOT NULL,        -- in the order in which they were cast
    voter TEXT,
    score REAL,                     -- 0 to 10; NULL: none came
    reason TEXT
);

CREATE TABLE dropped (
    id INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,            -- read, disprefer, weigh
    name TEXT NOT NULL,             -- of the case
    reason TEXT NOT NULL,
    part TEXT,                      -- who left it, or made no pair of it
    pairs TEXT,                     -- the kind of pairs that it gave none of
    kind TEXT,
    question TEXT,
    answer TEXT,
    image TEXT REFERENCES images (sha256)
);

CREATE TABLE answers (
    case_id INTEGER PRIMARY KEY REFERENCES cases (id),
    kind TEXT,
    question TEXT,
    truth TEXT,
    before TEXT,
    after TEXT,                     -- NULL: nothing was trained
    cut_before INTEGER,
    cut_after INTEGER,
    change TEXT                     -- better, worse, both, same; by the metrics' own gains
);

CREATE TABLE gains (
    case_id INTEGER NOT NULL REFERENCES answers (case_id),
    metric TEXT NOT NULL,
    gain REAL NOT NULL,             -- by how much the case got better
    PRIMARY KEY (case_id, metric)
) WITHOUT ROWID;

CREATE TABLE measures (
    metric TEXT NOT NULL,
    measure TEXT NOT NULL,
    better TEXT,                    -- more, less
    before REAL,
    after REAL,
    difference REAL,
    low REAL,                       -- of its 95 % interval
    high REAL,
    p REAL,
    PRIMARY KEY (metric, measure)
) WITHOUT ROWID;
"""

# datasette knows a table's search by the quotes around its name.
FINISH = """
CREATE INDEX pairs_name ON pairs (name);
CREATE INDEX pairs_case ON pairs (case_id);
CREATE INDEX pairs_kind ON pairs (kind, made_by);
CREATE INDEX pairs_weight ON pairs (weight);
CREATE INDEX pairs_chosen_image ON pairs (chosen_image);
CREATE INDEX pairs_rejected_image ON pairs (rejected_image);
CREATE INDEX cases_patient ON cases (patient);
CREATE INDEX cases_image ON cases (image);
CREATE INDEX regions_case ON regions (case_id);
CREATE INDEX votes_pair ON votes (pair_id);
CREATE INDEX votes_voter ON votes (voter, score);
CREATE INDEX dropped_reason ON dropped (reason);
CREATE INDEX answers_change ON answers (change);

CREATE VIEW drop_reasons AS
    SELECT stage, part, pairs, reason, count(*) AS cases FROM dropped GROUP BY 1, 2, 3, 4 ORDER BY cases DESC;
CREATE VIEW pairs_by_part AS
    SELECT kind, made_by, scorer, count(*) AS pairs, count(relevance) AS rated, avg(relevance) AS relevance,
        avg(weight) AS weight FROM pairs GROUP BY 1, 2, 3;
CREATE VIEW apart AS
    SELECT pairs.id, pairs.name, question, chosen, rejected, vote_gap, relevance FROM pairs WHERE vote_gap > 0
    ORDER BY vote_gap DESC;
CREATE VIEW changed_answers AS
    SELECT case_id, cases.name, cases.patient, answers.kind, answers.question, truth, before, after, change, image
    FROM answers JOIN cases ON cases.id = case_id WHERE change <> 'same';

CREATE VIRTUAL TABLE cases_fts USING fts5 (question, answer, content="cases", content_rowid="id");
INSERT INTO cases_fts (cases_fts) VALUES ('rebuild');
CREATE VIRTUAL TABLE pairs_fts USING fts5 (question, chosen, rejected, content="pairs", content_rowid="id");
INSERT INTO pairs_fts (pairs_fts) VALUES ('rebuild');
CREATE VIRTUAL TABLE answers_fts USING fts5 (
    question, truth, before, after, content="answers", content_rowid="case_id"
);
INSERT INTO answers_fts (answers_fts) VALUES ('rebuild');
CREATE VIRTUAL TABLE dropped_fts USING fts5 (question, answer, reason, content="dropped", content_rowid="id");
INSERT INTO dropped_fts (dropped_fts) VALUES ('rebuild');
CREATE VIRTUAL TABLE votes_fts USING fts5 (reason, content="votes", content_rowid="id");
INSERT INTO votes_fts (votes_fts) VALUES ('rebuild');

ANALYZE;
"""
