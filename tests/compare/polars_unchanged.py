"""What is new, changed and gone in a file of profiles, by Polars against its own snapshot.

    polars_unchanged.py snapshot FILE SNAPSHOT    keep what FILE holds
    polars_unchanged.py compare FILE SNAPSHOT     compare FILE with what was kept

The snapshot is a Parquet file of e-mail, key and a hash of the other columns, as Segport's ledger is.
"""

import sys

import polars as pl

task, file, snapshot = sys.argv[1:]
scan = pl.scan_parquet(file) if file.endswith(".parquet") else pl.scan_csv(file, infer_schema=False)
email = pl.col("email").str.strip_chars().str.to_lowercase()
rows = scan.select(
    email.alias("email"),
    "customer_id",
    pl.struct(pl.all().exclude("customer_id")).hash().alias("fingerprint"),
)
if task == "snapshot":
    rows.sink_parquet(snapshot)
else:
    held = pl.scan_parquet(snapshot).select("email", pl.col("fingerprint").alias("held"))
    both = rows.join(held, on="email", how="full", coalesce=True)
    counts = both.select(
        added=(pl.col("held").is_null()).sum(),
        changed=(pl.col("fingerprint") != pl.col("held")).sum(),
        unchanged=(pl.col("fingerprint") == pl.col("held")).sum(),
        gone=(pl.col("fingerprint").is_null()).sum(),
    ).collect(engine="streaming")
    print(", ".join(f"{name} {counts[name][0]}" for name in counts.columns))
