"""What is new, changed and gone in a file of profiles, by DuckDB against its own snapshot.

    duckdb_unchanged.py snapshot FILE SNAPSHOT    keep what FILE holds
    duckdb_unchanged.py compare FILE SNAPSHOT     compare FILE with what was kept

The snapshot is a table of e-mail, key and a hash of the other columns, as Segport's ledger is.
"""

import sys

import duckdb

PAYLOAD = "first_name, last_name, company, phone, street, city, postal_code, country, source, industry"

task, file, snapshot = sys.argv[1:]
reader = "read_parquet" if file.endswith(".parquet") else "read_csv"
options = "" if file.endswith(".parquet") else ", all_varchar = true"
rows = (
    f"SELECT lower(trim(email)) AS email, customer_id, hash(lower(trim(email)), {PAYLOAD}) AS fingerprint "
    f"FROM {reader}('{file}'{options})"
)
database = duckdb.connect(snapshot)
if task == "snapshot":
    database.execute(f"CREATE OR REPLACE TABLE held AS {rows}")
else:
    added, changed, unchanged, gone = database.execute(
        f"""
        SELECT count(*) FILTER (h.email IS NULL),
               count(*) FILTER (n.email IS NOT NULL AND h.email IS NOT NULL AND n.fingerprint <> h.fingerprint),
               count(*) FILTER (n.fingerprint = h.fingerprint),
               count(*) FILTER (n.email IS NULL)
        FROM ({rows}) n FULL OUTER JOIN held h ON n.email = h.email
        """
    ).fetchone()
    print(f"added {added}, changed {changed}, unchanged {unchanged}, gone {gone}")
