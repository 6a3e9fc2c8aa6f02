"""How long `migrate --adopt` takes over a million payments of the model, killed in the middle and gone on with, and whether all is there.

On the embedded PostgreSQL, fsync on. Run: `python -m bench.adoption [--rows 1000000]`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from payment_service.db.adopt import BATCH_ROWS
from payment_service_demo.embedded.postgres import EmbeddedPostgres
from tests.support.model_tables import ModelTables

COMMAND = Path(sys.executable).with_name("payment-service")
COUNTS = (
    "SELECT count(*), sum(amount), count(*) FILTER (WHERE status = 'succeeded'), count(DISTINCT order_id) FROM payments"
)


def timed(dsn: str, crash_at: str = "") -> tuple[int, float, str]:
    """Run the command; give its exit code, the seconds it took, and what it said."""
    began = time.monotonic()
    env = {"PATH": os.environ["PATH"], "DB_DSN": dsn, "CRASH_AT": crash_at}
    done = subprocess.run([COMMAND, "migrate", "--adopt"], env=env, capture_output=True, text=True, check=False)
    return done.returncode, time.monotonic() - began, done.stdout + done.stderr


def main() -> int:
    """Fill, kill halfway, go on, compare. Exit code 1: something is missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.adoption", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="payments (%(default)s)")
    rows = parser.parse_args().rows
    with EmbeddedPostgres() as postgres:
        model = ModelTables(postgres.dsn)
        model.fill(rows)
        half = rows // BATCH_ROWS // 2 or 1
        code, elapsed_s, _ = timed(postgres.dsn, f"adopt.batch.commit.after:{half}")
        taken = model.query("SELECT count(*) FROM payments")[0][0]
        print(f"killed ({code}) after {elapsed_s:.1f} s, {taken:,} of {rows:,} payments taken", flush=True)
        code, elapsed_s, said = timed(postgres.dsn)
        print(f"gone on with, and done ({code}) after {elapsed_s:.1f} s\n{said}", flush=True)
        count, cents, succeeded, orders = model.query(COUNTS)[0]
        print(f"{count:,} payments of {orders:,} orders, {succeeded:,} succeeded, {cents / 100:,.2f} usd")
        return 0 if (code, count, orders, cents) == (0, rows, rows, rows * (rows + 1) // 2) else 1


if __name__ == "__main__":
    sys.exit(main())
