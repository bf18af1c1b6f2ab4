-- How often a worker died with this job among others in hand. Suspects run apart, in ever smaller company.
ALTER TABLE jobrunner.jobs ADD COLUMN suspicion smallint NOT NULL DEFAULT 0;
CREATE INDEX jobs_suspect ON jobrunner.jobs (queue, suspicion, due_at) WHERE status = 'pending' AND suspicion > 0;

-- The same rows, by a predicate that the foreign key's own look-ups imply: without it each worker row that is pruned
-- would read all jobs.
DROP INDEX jobrunner.jobs_held;
CREATE INDEX jobs_held ON jobrunner.jobs (worker_id) WHERE worker_id IS NOT NULL;

CREATE INDEX artifacts_uploaded ON jobrunner.artifacts (created_at) WHERE job_id IS NULL;
