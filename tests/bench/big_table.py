"""A table of an application that has used jobrunner for years: a database beside another, filled once."""

from urllib.parse import urlsplit

import asyncpg

from jobrunner.store.migrate import migrate

VARIANT = "big table"
"""Of our contender, which runs on it."""

FINISHED, PENDING = 1_000_000, 200_000

# As the product writes the bench's own jobs: beside larger ones each of those would fill a gap in another old page,
# once. One finished in every second; the ids of all are as old as the jobs.
FILL = """
INSERT INTO jobrunner.jobs
  (id, task, module, status, params, retries, due_at, fence, progress, result, created_at, started_at, completed_at,
   updated_at)
SELECT uuidv7(at - now()), 'filler', 'filler', CASE WHEN done THEN 'completed' ELSE 'pending' END,
       jsonb_build_object('i', n), 3, CASE WHEN done THEN at ELSE now() + interval '1 day' END, done::int,
       CASE WHEN done THEN 1 END, CASE WHEN done THEN jsonb_build_object('value', n) END,
       at, CASE WHEN done THEN at + interval '1 second' END, CASE WHEN done THEN at + interval '20 seconds' END,
       CASE WHEN done THEN at + interval '20 seconds' ELSE at END
FROM (SELECT n, n <= $1 AS done, now() - (total - n + 60) * interval '1 second' AS at
      FROM (SELECT $1::int + $2::int AS total) AS asked, generate_series(1, total) AS n) AS made
"""


async def filled(database_url: str, *, finished: int = FINISHED, pending: int = PENDING) -> str:
    """Make the database on an embedded server, and fill it: `finished` jobs, `pending` ones due in a day. Its URL."""
    url = f"postgresql:///big?{urlsplit(database_url).query}"
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("CREATE DATABASE big")
    finally:
        await connection.close()
    await migrate(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(FILL, finished, pending)
        await connection.execute("VACUUM ANALYZE")  # or autovacuum would, while somebody measures
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    return url
