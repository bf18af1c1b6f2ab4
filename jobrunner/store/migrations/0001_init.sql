CREATE SCHEMA jobrunner;

-- Time-ordered ids for rows that an application inserts itself; our own ids are made in Python.
-- Postgres 18 has uuidv7(), 15 to 17 do not.
CREATE FUNCTION jobrunner.uuid7() RETURNS uuid LANGUAGE sql VOLATILE AS $$
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
              PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
              FROM 1 FOR 6),
      52, 1), 53, 1), 'hex')::uuid
$$;

CREATE TABLE jobrunner.workers (
  id          uuid PRIMARY KEY,
  host        text NOT NULL,
  pid         integer NOT NULL,
  queue       text NOT NULL,
  version     text NOT NULL,
  max_jobs    integer NOT NULL,
  in_flight   integer NOT NULL DEFAULT 0,
  started_at  timestamptz NOT NULL DEFAULT now(),
  renewed_at  timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL,
  dead_at     timestamptz
) WITH (fillfactor = 50);
CREATE INDEX workers_alive ON jobrunner.workers (lease_until) WHERE dead_at IS NULL;

-- One plain, unpartitioned table: Supabase Realtime delivers neither views nor partitioned parents.
-- A row with a NULL module was inserted by an application: upkeep validates it, fills it in and pushes it.
CREATE TABLE jobrunner.jobs (
  id                  uuid PRIMARY KEY DEFAULT jobrunner.uuid7(),
  task                text NOT NULL,
  module              text,
  status              text NOT NULL DEFAULT 'pending'
                      CHECK (status IN ('pending', 'in_progress', 'completed', 'failed', 'cancelled')),
  params              jsonb NOT NULL DEFAULT '{}',
  queue               text NOT NULL DEFAULT 'arq:queue',
  user_id             text,
  record_id           text,
  metadata            jsonb,
  idempotency_key     text,
  request_digest      text,
  retries             integer,
  due_at              timestamptz NOT NULL DEFAULT now(),
  fence               bigint NOT NULL DEFAULT 0,
  failures            integer NOT NULL DEFAULT 0,
  crashes             integer NOT NULL DEFAULT 0,
  worker_id           uuid REFERENCES jobrunner.workers (id),
  progress            real CHECK (progress BETWEEN 0 AND 1),
  progress_note       text,
  result              jsonb,
  result_url          text,
  error               jsonb,
  errors              jsonb NOT NULL DEFAULT '[]',
  cancel_requested_at timestamptz,
  created_at          timestamptz NOT NULL DEFAULT now(),
  started_at          timestamptz,
  completed_at        timestamptz,
  updated_at          timestamptz NOT NULL DEFAULT now(),
  CHECK ((status = 'in_progress') = (worker_id IS NOT NULL))
) WITH (fillfactor = 70);

CREATE UNIQUE INDEX jobs_idempotency ON jobrunner.jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_due ON jobrunner.jobs (queue, due_at) WHERE status = 'pending' AND module IS NOT NULL;
CREATE INDEX jobs_active ON jobrunner.jobs (queue, id) WHERE status IN ('pending', 'in_progress');
CREATE INDEX jobs_held ON jobrunner.jobs (worker_id) WHERE status = 'in_progress';
CREATE INDEX jobs_foreign ON jobrunner.jobs (id) WHERE module IS NULL AND status = 'pending';
CREATE INDEX jobs_newest ON jobrunner.jobs (created_at DESC, id DESC);
CREATE INDEX jobs_newest_by_user ON jobrunner.jobs (user_id, created_at DESC, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX jobs_failed ON jobrunner.jobs (module, created_at DESC) WHERE status = 'failed';

-- The transition table of job.py, held by the database too: whoever writes, the rows stay true.
CREATE FUNCTION jobrunner.guard_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.fence < OLD.fence THEN
    RAISE EXCEPTION 'job %: its fence may not fall from % to %', OLD.id, OLD.fence, NEW.fence
      USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.status <> OLD.status AND (OLD.status || '>' || NEW.status) <> ALL (ARRAY[
      'pending>in_progress', 'pending>cancelled', 'pending>failed',
      'in_progress>completed', 'in_progress>failed', 'in_progress>cancelled', 'in_progress>pending',
      'failed>pending', 'cancelled>pending']) THEN
    RAISE EXCEPTION 'job %: its status may not go from % to %', OLD.id, OLD.status, NEW.status
      USING ERRCODE = 'check_violation';
  END IF;
  IF NEW.status = 'in_progress' AND OLD.status = 'pending' AND NEW.fence = OLD.fence THEN
    RAISE EXCEPTION 'job %: a claim must raise its fence', OLD.id USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER guard_transition BEFORE UPDATE OF status, fence ON jobrunner.jobs
  FOR EACH ROW EXECUTE FUNCTION jobrunner.guard_transition();

-- intent: about to be sent; running: the provider gave a handle; done: its result is ours; failed: refused or failed
-- at the provider, a later attempt may buy anew under a new sequence number.
CREATE TABLE jobrunner.steps (
  job_id     uuid NOT NULL REFERENCES jobrunner.jobs (id) ON DELETE CASCADE,
  name       text NOT NULL,
  state      text NOT NULL CHECK (state IN ('intent', 'running', 'done', 'failed')),
  sequence   integer NOT NULL,
  fence      bigint NOT NULL,
  provider   text,
  plan       jsonb,
  remote_id  text,
  handle     jsonb,
  result     jsonb,
  error      jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (job_id, name)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX steps_remote ON jobrunner.steps (provider, remote_id) WHERE remote_id IS NOT NULL;

CREATE TABLE jobrunner.artifacts (
  id         uuid PRIMARY KEY,
  job_id     uuid NOT NULL REFERENCES jobrunner.jobs (id) ON DELETE CASCADE,
  step       text NOT NULL,
  kind       text NOT NULL,
  mime       text NOT NULL,
  size_bytes bigint NOT NULL,
  sha256     text NOT NULL,
  key        text NOT NULL,
  width      integer,
  height     integer,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX artifacts_of_job ON jobrunner.artifacts (job_id);

-- The names that users query. An application's own table of that name stays as it is ([record_tables] keeps it in step).
DO $$
BEGIN
  IF to_regclass('public.image_generations') IS NULL THEN
    CREATE VIEW public.image_generations WITH (security_invoker = on) AS
      SELECT id, record_id, user_id, task, status, params, result, result_url AS image_url,
             error ->> 'message' AS error_message, error, progress, fence AS attempt,
             created_at, started_at, completed_at, updated_at
      FROM jobrunner.jobs WHERE module = 'image';
  END IF;
END $$;
