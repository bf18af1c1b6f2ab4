"""Triggers: they write down what happens to jobs and steps, or refuse it as a Postgres in trouble does.

An illegal history shows in what is written down, also when its end looks fine.

A connection says whose it is in its URL, `options=-c audit.who=NAME`.
"""

from urllib.parse import quote

import asyncpg

_INSTALL = """
CREATE SCHEMA audit;

-- One line a write of a job: what it was, what it became; no `new_status` where it was deleted.
CREATE TABLE audit.moves (
  seq bigserial PRIMARY KEY, job_id uuid NOT NULL, old_status text, new_status text, old_fence bigint, new_fence bigint,
  crashed boolean, outcome_changed boolean, who text NOT NULL, tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION audit.write_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit.moves (job_id, old_status, new_status, old_fence, new_fence, crashed, outcome_changed, who)
  VALUES (coalesce(NEW.id, OLD.id), OLD.status, NEW.status, OLD.fence, NEW.fence, NEW.suspicion > OLD.suspicion,
          (OLD.result, OLD.result_url, OLD.error) IS DISTINCT FROM (NEW.result, NEW.result_url, NEW.error),
          coalesce(current_setting('audit.who', true), ''));
  RETURN NULL;
END $$;
CREATE TRIGGER audit_move AFTER INSERT OR UPDATE OR DELETE ON jobrunner.jobs
  FOR EACH ROW EXECUTE FUNCTION audit.write_move();

-- One line a write of a step, and how its job stood in that moment.
CREATE TABLE audit.step_writes (
  seq bigserial PRIMARY KEY, job_id uuid NOT NULL, name text NOT NULL, state text NOT NULL, fence bigint NOT NULL,
  job_status text, job_fence bigint, tx xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE FUNCTION audit.write_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit.step_writes (job_id, name, state, fence, job_status, job_fence)
  SELECT NEW.job_id, NEW.name, NEW.state, NEW.fence, status, fence FROM jobrunner.jobs WHERE id = NEW.job_id;
  RETURN NULL;
END $$;
CREATE TRIGGER audit_step AFTER INSERT OR UPDATE ON jobrunner.steps
  FOR EACH ROW EXECUTE FUNCTION audit.write_step();
"""

_REFUSE = """
CREATE SEQUENCE audit.refused;  -- it counts on where a transaction is rolled back
CREATE FUNCTION audit.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF nextval('audit.refused') <= {times} THEN RAISE EXCEPTION 'refused by the test' USING ERRCODE = '{code}'; END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON jobrunner.jobs FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
CREATE TRIGGER refuse AFTER INSERT OR UPDATE ON jobrunner.steps FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse();
"""


async def install(database: asyncpg.Connection) -> None:
    await database.execute(_INSTALL)


def signed(url: str, who: str) -> str:
    """The database's URL for a process that is to be told from others."""
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-c audit.who={who}')}"


async def refuse(database: asyncpg.Connection, code: str, times: int) -> None:
    """Raise `code` upon the next so many writes of jobs or steps, each a statement."""
    await database.execute(_REFUSE.format(code=code, times=times))


async def refuse_no_more(database: asyncpg.Connection) -> None:
    await database.execute("DROP FUNCTION audit.refuse CASCADE; DROP SEQUENCE audit.refused")
