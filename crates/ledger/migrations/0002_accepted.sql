-- How many rows each segment of an export had in the last run that accepted them as normal.
CREATE TABLE accepted (
    export TEXT NOT NULL,
    segment TEXT NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (export, segment)
) STRICT;
