-- Whose idempotency key it is: a bound caller's user, or '' for all others. Code that knows no scopes writes ''.
ALTER TABLE jobrunner.jobs ADD COLUMN idempotency_scope text NOT NULL DEFAULT '';
CREATE UNIQUE INDEX jobs_idempotency_scoped ON jobrunner.jobs (idempotency_scope, idempotency_key)
  WHERE idempotency_key IS NOT NULL;
DROP INDEX jobrunner.jobs_idempotency;

-- What listings, and verbs for many jobs, ask for. Where many rows fit, the newest are found first by jobs_newest; these
-- are for what is rare. Most are partial: a job pays only for what it has.
CREATE INDEX jobs_of_task ON jobrunner.jobs (module, task);
CREATE INDEX jobs_of_record ON jobrunner.jobs (record_id) WHERE record_id IS NOT NULL;
CREATE INDEX jobs_unsuccessful ON jobrunner.jobs (created_at DESC, id DESC) WHERE status IN ('failed', 'cancelled');
CREATE INDEX jobs_metadata ON jobrunner.jobs USING gin (metadata jsonb_path_ops) WHERE metadata IS NOT NULL;
