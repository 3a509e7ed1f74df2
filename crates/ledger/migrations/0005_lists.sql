-- The destination's id of the list that each segment of an export has. From here on pages also hold records of kind 15.
CREATE TABLE list (
    export TEXT NOT NULL,
    segment TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (export, segment)
) STRICT;
