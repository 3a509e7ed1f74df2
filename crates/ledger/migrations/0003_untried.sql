-- Pages of kind 5 tell of rows that a run did not try. They are no part of the state, and are emptied once they are old.
CREATE INDEX untried_page ON page (export, number, run, rows) WHERE kind = 5 AND rows > 0;
