-- The destination's id of the account that an export reached at each place, where the connector could tell it. From here on pages
-- also hold records of kind 16.
CREATE TABLE account (
    export TEXT NOT NULL,
    place TEXT NOT NULL,
    id TEXT NOT NULL,
    PRIMARY KEY (export, place)
) STRICT;
