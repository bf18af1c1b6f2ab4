-- Every statement that jobrunner sends to Postgres, by name. $n are parameters; text[] columns of JSON are cast here.
-- Rows are locked in id order everywhere, so that two batches never wait for each other in a circle.

-- name: insert_jobs
INSERT INTO jobrunner.jobs (id, task, module, params, queue, retries, user_id, record_id, metadata, idempotency_scope,
                            idempotency_key, request_digest, due_at, webhook)
SELECT id, task, module, params::jsonb, queue, retries, user_id, record_id, metadata::jsonb, idempotency_scope,
       idempotency_key, digest, coalesce(run_at, now() + delay_s * interval '1 second'), webhook
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::text[],
            $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::float8[], $15::text[])
  AS new (id, task, module, params, queue, retries, user_id, record_id, metadata, idempotency_scope,
          idempotency_key, digest, run_at, delay_s, webhook)
ORDER BY idempotency_scope, idempotency_key, id
ON CONFLICT DO NOTHING -- the key was used before, or the row was written by a commit whose answer was lost
RETURNING id, created_at, updated_at, due_at

-- name: jobs_by_id_or_key
SELECT * FROM jobrunner.jobs WHERE id = ANY ($1::uuid[])
UNION ALL
SELECT job.* FROM unnest($2::text[], $3::text[]) AS used (idempotency_scope, idempotency_key)
JOIN jobrunner.jobs AS job USING (idempotency_scope, idempotency_key)

-- name: claim
-- $1 worker, $2 queue, $3 known tasks, $4 the jobs wanted, $5 how suspect: workers take jobs of suspicion 0, each ward
-- those of one other.
-- The lock makes a burial wait for this statement, or this statement see the burial: the dead claim nothing. Rows are
-- looked up by their id and judged afterwards, so that every plan is a look into the primary key.
WITH alive AS MATERIALIZED (
  SELECT dead_at FROM jobrunner.workers WHERE id = $1 FOR KEY SHARE
), wanted AS MATERIALIZED (
  SELECT id, status, module, queue, due_at, task, suspicion FROM jobrunner.jobs
  WHERE id = ANY ($4::uuid[]) ORDER BY id FOR UPDATE SKIP LOCKED
)
UPDATE jobrunner.jobs AS job
SET status = 'in_progress', worker_id = $1, fence = fence + 1, error = NULL,
    started_at = coalesce(started_at, now()), updated_at = now()
FROM wanted WHERE job.id = wanted.id AND EXISTS (SELECT FROM alive WHERE dead_at IS NULL)
  AND wanted.status = 'pending' AND wanted.module IS NOT NULL AND wanted.queue = $2 AND wanted.due_at <= now()
  AND wanted.task = ANY ($3::text[]) AND wanted.suspicion = $5
RETURNING job.*

-- name: lock_due
-- What `claim` may take ($3 how many), the first due first.
SELECT id FROM jobrunner.jobs
WHERE status = 'pending' AND module IS NOT NULL AND queue = $1 AND due_at <= now()
  AND task = ANY ($2::text[]) AND suspicion = $4
ORDER BY due_at, id LIMIT $3 FOR UPDATE SKIP LOCKED

-- name: held_jobs
SELECT * FROM jobrunner.jobs WHERE worker_id = $1 AND status = 'in_progress'

-- name: look_up
-- What ids really are that Redis named and the claim did not take, or that it does not hold as it should.
SELECT id, task, status, due_at, due_at > now() AS early, updated_at, now() AS read_at, suspicion FROM jobrunner.jobs
WHERE id = ANY ($1::uuid[]) AND queue = $2

-- name: finish
-- Written exactly where this worker still holds the job at this fence.
-- A worker's jobs are in progress, all of them (a CHECK of the table's). Looked up as `claim` does.
WITH ended AS (
  SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[],
                       $9::float8[])
    AS ended (id, fence, status, failures, result, result_url, error, delay_s)
), locked AS MATERIALIZED (
  SELECT id FROM jobrunner.jobs WHERE id = ANY ($2) ORDER BY id FOR UPDATE
)
UPDATE jobrunner.jobs AS job
SET status = ended.status, worker_id = NULL, failures = ended.failures,
    result = ended.result::jsonb, result_url = ended.result_url, error = ended.error::jsonb,
    errors = CASE WHEN ended.error IS NULL THEN errors
                  ELSE errors || jsonb_build_array(ended.error::jsonb
                         || jsonb_build_object('attempt', job.fence, 'at', now())) END,
    progress = CASE WHEN ended.status = 'completed' THEN 1 ELSE progress END,
    due_at = CASE WHEN ended.status = 'pending' THEN now() + ended.delay_s * interval '1 second' ELSE due_at END,
    completed_at = CASE WHEN ended.status = 'pending' THEN NULL ELSE now() END, updated_at = now()
FROM ended WHERE (SELECT count(*) FROM locked) > 0
  AND job.id = ended.id AND job.fence = ended.fence AND job.worker_id IS NOT DISTINCT FROM $1
RETURNING job.*

-- name: save_progress
WITH held AS (
  SELECT job.id, said.progress, said.note
  FROM unnest($2::uuid[], $3::bigint[], $4::real[], $5::text[]) AS said (id, fence, progress, note)
  JOIN jobrunner.jobs AS job USING (id, fence)
  WHERE job.worker_id = $1 AND job.status = 'in_progress' ORDER BY job.id FOR UPDATE OF job
)
UPDATE jobrunner.jobs AS job SET progress = held.progress, progress_note = held.note, updated_at = now()
FROM held WHERE job.id = held.id

-- name: append_log_lines
-- Only of an attempt that has no successor. A line that stands was written by a commit whose answer was lost.
INSERT INTO jobrunner.logs (job_id, attempt, number, at, level, message, fields)
SELECT job.id, attempt, number, now() - age_s * interval '1 second', level, message, fields::jsonb
FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::float8[], $5::text[], $6::text[], $7::text[])
  AS said (id, attempt, number, age_s, level, message, fields)
JOIN jobrunner.jobs AS job ON job.id = said.id AND job.fence = said.attempt
ORDER BY job.id, attempt, number
ON CONFLICT DO NOTHING
RETURNING *

-- name: trim_logs
-- All but the newest $2 lines of each job.
DELETE FROM jobrunner.logs AS line
USING unnest($1::uuid[]) AS job (id), LATERAL (
  SELECT attempt, number FROM jobrunner.logs WHERE job_id = job.id ORDER BY attempt DESC, number DESC OFFSET $2 LIMIT 1
) AS surplus
WHERE line.job_id = job.id AND (line.attempt, line.number) <= (surplus.attempt, surplus.number)

-- name: log_page
SELECT attempt, number, at, level, message, fields FROM jobrunner.logs
WHERE job_id = $1 AND (attempt, number) > ($2, $3)
ORDER BY attempt, number LIMIT $4

-- name: save_steps
-- FOR SHARE makes a rescue wait for this statement, or this statement see the rescue: no old fence gets in between.
WITH said AS (
  SELECT * FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::int[], $7::text[], $8::text[],
                       $9::text[], $10::text[], $11::text[], $12::text[])
    AS said (job_id, name, fence, state, sequence, provider, plan, remote_id, handle, result, error)
), held AS (
  SELECT job.id, job.fence FROM jobrunner.jobs AS job
  WHERE job.id = ANY ($2) AND job.worker_id = $1 AND job.status = 'in_progress'
  ORDER BY job.id FOR SHARE
)
INSERT INTO jobrunner.steps (job_id, name, fence, state, sequence, provider, plan, remote_id, handle, result, error)
SELECT said.job_id, said.name, said.fence, said.state, said.sequence, said.provider, said.plan::jsonb,
       said.remote_id, said.handle::jsonb, said.result::jsonb, said.error::jsonb
FROM said JOIN held ON held.id = said.job_id AND held.fence = said.fence
ORDER BY said.job_id, said.name
ON CONFLICT (job_id, name) DO UPDATE
SET fence = excluded.fence, state = excluded.state, sequence = excluded.sequence, provider = excluded.provider,
    plan = excluded.plan, remote_id = excluded.remote_id, handle = excluded.handle, result = excluded.result,
    error = excluded.error, updated_at = now(),
    created_at = CASE WHEN excluded.sequence > steps.sequence THEN now() ELSE steps.created_at END
RETURNING job_id, name

-- name: steps_of
SELECT * FROM jobrunner.steps WHERE job_id = $1 ORDER BY created_at, name

-- name: remote_ids
-- Which of a provider's ids some step already owns.
SELECT remote_id FROM jobrunner.steps WHERE provider = $1 AND remote_id = ANY ($2::text[])

-- name: insert_artifacts
INSERT INTO jobrunner.artifacts (id, job_id, step, kind, mime, size_bytes, sha256, key, width, height, duration_s,
                                 user_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[],
                     $8::text[], $9::int[], $10::int[], $11::float8[], $12::text[])
ON CONFLICT (id) DO NOTHING -- written before, by a commit whose answer was lost

-- name: artifact
SELECT id, job_id, kind, mime, size_bytes, sha256, key, width, height, duration_s, user_id FROM jobrunner.artifacts
WHERE id = $1

-- name: artifacts_of
SELECT id, job_id, kind, mime, size_bytes, sha256, key, width, height, duration_s, user_id FROM jobrunner.artifacts
WHERE job_id = ANY ($1::uuid[]) ORDER BY created_at, id

-- name: newest_artifacts
-- What jobs made, from behind the cursor ($4, $5). Their own files only: an `input.` step fetched what the params name.
SELECT artifact.id, job_id, kind, mime, size_bytes, sha256, key, width, height, duration_s, artifact.user_id,
       artifact.created_at, task
FROM jobrunner.artifacts AS artifact JOIN jobrunner.jobs AS job ON job.id = job_id
WHERE step !~ '^input\.[0-9a-f]{16}$'
  AND ($1::text IS NULL OR kind = $1) AND ($2::text IS NULL OR task = $2)
  AND ($3::text IS NULL OR artifact.user_id = $3)
  AND ($4::timestamptz IS NULL OR (artifact.created_at, artifact.id) < ($4, $5::uuid))
ORDER BY artifact.created_at DESC, artifact.id DESC LIMIT $6

-- name: register_worker
INSERT INTO jobrunner.workers (id, host, pid, queue, version, max_jobs, lease_until, tasks)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7 * interval '1 second', $8::text[])
RETURNING started_at

-- name: renew_lease
-- No row: somebody declared this worker dead. Otherwise: the jobs it holds that a person wants cancelled.
WITH renewed AS (
  UPDATE jobrunner.workers SET renewed_at = now(), lease_until = now() + $2 * interval '1 second', in_flight = $3,
    stats = $4::jsonb
  WHERE id = $1 AND dead_at IS NULL RETURNING id
)
SELECT ARRAY(SELECT id FROM jobrunner.jobs
             WHERE worker_id = $1 AND status = 'in_progress' AND cancel_requested_at IS NOT NULL) AS cancels
FROM renewed

-- name: retire_worker
-- A worker's own farewell. What it could not hand back is rescued at once, not when its lease would have ended.
UPDATE jobrunner.workers SET in_flight = 0, lease_until = now(),
  dead_at = CASE WHEN EXISTS (SELECT FROM jobrunner.jobs WHERE worker_id = $1 AND status = 'in_progress')
                 THEN NULL ELSE now() END
WHERE id = $1 AND dead_at IS NULL

-- name: overdue_worker
-- A dead one that holds jobs was declared so by hand.
SELECT id FROM jobrunner.workers AS worker
WHERE dead_at IS NULL AND lease_until < now()
   OR dead_at IS NOT NULL AND EXISTS (SELECT FROM jobrunner.jobs WHERE worker_id = worker.id)
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: gone_worker
-- $1 the one whose process is known to be gone. A last statement of its own may be under way: this waits for it.
SELECT id FROM jobrunner.workers WHERE id = $1 FOR UPDATE

-- name: bury_worker
UPDATE jobrunner.workers SET dead_at = coalesce(dead_at, now()) WHERE id = $1

-- name: rescue_jobs
-- $1 the dead worker, $2 at how many crashes a job is given up, $3 the error record of a job that its worker died with
-- alone, $4 that of one that had neighbours, $5 that of one whose cancellation its worker did not live to write.
-- A crash is certainly the fault of a job that was alone. Of several it may be any: none is charged, all are suspect.
WITH lost AS MATERIALIZED (
  SELECT id FROM jobrunner.jobs WHERE worker_id = $1 AND status = 'in_progress' ORDER BY id FOR UPDATE
), judged AS (
  SELECT id, (count(*) OVER () = 1)::int AS guilt FROM lost
)
UPDATE jobrunner.jobs AS job
SET worker_id = NULL, crashes = crashes + guilt, suspicion = suspicion + 1, due_at = now(), updated_at = now(),
    status = CASE WHEN cancel_requested_at IS NOT NULL THEN 'cancelled'
                  WHEN crashes + guilt >= $2 THEN 'failed' ELSE 'pending' END,
    error = CASE WHEN cancel_requested_at IS NOT NULL THEN $5::jsonb WHEN crashes + guilt >= $2 THEN $3::jsonb END,
    errors = errors || jsonb_build_array(CASE guilt WHEN 1 THEN $3::jsonb ELSE $4::jsonb END
                                         || jsonb_build_object('attempt', fence, 'at', now())),
    completed_at = CASE WHEN cancel_requested_at IS NOT NULL OR crashes + guilt >= $2 THEN now() END
FROM judged WHERE job.id = judged.id
RETURNING job.*

-- name: due_suspects
SELECT suspicion, count(*) AS due FROM jobrunner.jobs
WHERE status = 'pending' AND suspicion > 0 AND module IS NOT NULL AND queue = $1 AND task = ANY ($2::text[])
  AND due_at <= now()
GROUP BY suspicion ORDER BY suspicion

-- name: active_page
-- A page of what Redis should know, by id. Of hundreds of thousands nearly all are as they should be. Rows are compared
-- since `queue = $1 AND id > $2` is looked up by the primary key, past a million finished jobs that are all older.
SELECT id, CASE WHEN status = 'pending' THEN round(extract(epoch FROM due_at) * 1000)::float8 END AS due_ms
FROM jobrunner.jobs
WHERE status IN ('pending', 'in_progress') AND module IS NOT NULL AND (queue, id) > ($1, $2) AND queue <= $1
ORDER BY queue, id LIMIT $3

-- name: foreign_jobs
-- Rows that an application inserted itself; one of a task that this worker lacks is another's to take, for a minute.
SELECT * FROM jobrunner.jobs
WHERE module IS NULL AND status = 'pending'
  AND (task = ANY ($1::text[]) OR created_at < now() - interval '1 minute')
ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED

-- name: adopt_job
UPDATE jobrunner.jobs SET module = $2, retries = coalesce(retries, $3), queue = $4,
  user_id = coalesce(user_id, params ->> 'user_id'), record_id = coalesce(record_id, params ->> 'record_id'),
  updated_at = now()
WHERE id = $1 RETURNING *

-- name: refuse_job
UPDATE jobrunner.jobs SET module = $2, status = 'failed', error = $3::jsonb, completed_at = now(), updated_at = now()
WHERE id = $1 RETURNING *

-- name: job
SELECT * FROM jobrunner.jobs WHERE id = $1

-- name: jobs_by_id
SELECT * FROM jobrunner.jobs WHERE id = ANY ($1::uuid[])

-- name: jobs_terminal
-- Which of the awaited jobs have ended.
SELECT * FROM jobrunner.jobs WHERE id = ANY ($1::uuid[]) AND status IN ('completed', 'failed', 'cancelled')

-- name: list_jobs
-- Newest first, from behind the cursor ($9, $10). Deliveries are shown to whoever asks for their module.
-- $12: what a job's words must all be like, or $13 what its id is like. lower() on both sides: a database folds letters
-- as its locale says. A word may be a param's value, not its name: the dear test decides that, of the few that pass
-- the cheap one.
SELECT * FROM jobrunner.jobs
WHERE module IS NOT NULL
  AND ($1::text[] = '{}' OR status = ANY ($1)) AND ($2::text IS NULL OR task = $2)
  AND CASE WHEN $3::text IS NULL THEN module <> 'webhook' ELSE module = $3 END
  AND ($4::text IS NULL OR user_id = $4) AND ($5::text IS NULL OR record_id = $5)
  AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
  AND ($8::jsonb IS NULL OR metadata @> $8)
  AND ($9::timestamptz IS NULL OR (created_at, id) < ($9, $10::uuid))
  AND ($12::text[] IS NULL OR id::text LIKE lower($13)
       OR lower(params::text || coalesce(error::text, '') || coalesce(to_jsonb(record_id)::text, ''))
          LIKE ALL (ARRAY(SELECT lower(unnest($12::text[]))))
      AND lower(jsonb_path_query_array(jsonb_build_array(params, error, record_id),
                                       'strict $.** ? (@.type() != "object" && @.type() != "array")')::text)
          LIKE ALL (ARRAY(SELECT lower(unnest($12::text[])))))
ORDER BY created_at DESC, id DESC LIMIT $11

-- name: cancel_jobs
-- Pending jobs end here; running ones are asked to end, and their workers write the outcome. One that has signed what
-- cannot be taken back goes on: a job must not end cancelled while its token is minted.
WITH held AS (
  SELECT id FROM jobrunner.jobs
  WHERE id = ANY ($1::uuid[]) AND status IN ('pending', 'in_progress') AND irrevocable_at IS NULL
  ORDER BY id FOR UPDATE
)
UPDATE jobrunner.jobs AS job
SET status = CASE status WHEN 'pending' THEN 'cancelled' ELSE status END,
    error = CASE status WHEN 'pending' THEN $2::jsonb ELSE error END,
    module = coalesce(module, ''),
    completed_at = CASE status WHEN 'pending' THEN now() ELSE completed_at END,
    cancel_requested_at = coalesce(cancel_requested_at, now()), updated_at = now()
FROM held WHERE job.id = held.id
RETURNING job.*

-- name: retry_jobs
-- A person's decision: the budget starts anew and the old outcome stays in the history. What may be bought again by
-- it: a submit whose outcome nobody could find out, and work that was cancelled at the provider or expired there.
WITH ended AS MATERIALIZED (
  SELECT id, status, error FROM jobrunner.jobs
  WHERE id = ANY ($1::uuid[]) AND status IN ('failed', 'cancelled') AND module <> ''
  ORDER BY id FOR UPDATE
), forgotten AS (
  UPDATE jobrunner.steps AS step SET state = 'failed', updated_at = now()
  FROM ended AS job
  WHERE step.job_id = job.id
    AND (step.state = 'intent' AND job.error ->> 'code' = 'submit_outcome_unknown' OR step.state = 'running'
         AND (job.status = 'cancelled' OR job.error ->> 'code' IN ('timeout', 'soft_timeout', 'artifact_expired')))
)
UPDATE jobrunner.jobs AS job
SET status = 'pending', due_at = now(), failures = 0, crashes = 0, suspicion = 0, error = NULL, completed_at = NULL,
    cancel_requested_at = NULL, progress = NULL, progress_note = NULL, updated_at = now(),
    errors = errors || jsonb_build_array(jsonb_build_object(
      'code', 'retried_by_hand', 'message', 'Retried by hand after: ' || job.status, 'attempt', fence, 'at', now()))
FROM ended WHERE job.id = ended.id
RETURNING job.*

-- name: disabled_webhooks
SELECT url, reason, disabled_at FROM jobrunner.webhooks_disabled WHERE url = ANY ($1::text[])

-- name: disable_webhook
INSERT INTO jobrunner.webhooks_disabled (url, reason) VALUES ($1, $2) ON CONFLICT (url) DO NOTHING

-- name: enable_webhooks
DELETE FROM jobrunner.webhooks_disabled WHERE url = ANY ($1::text[])

-- name: deliveries_of
SELECT * FROM jobrunner.jobs WHERE module = 'webhook' AND params ->> 'job_id' = $1 ORDER BY id

-- name: last_deliveries_of
-- The newest to each receiver.
SELECT DISTINCT ON (params ->> 'url') * FROM jobrunner.jobs
WHERE module = 'webhook' AND params ->> 'job_id' = $1
ORDER BY params ->> 'url', id DESC

-- name: hasten_deliveries
UPDATE jobrunner.jobs SET due_at = now(), updated_at = now()
WHERE id = ANY ($1::uuid[]) AND status = 'pending' AND due_at > now()
RETURNING *

-- name: jobs_of_remote
-- Whose work a provider's id is.
SELECT job_id FROM jobrunner.steps WHERE provider = $1 AND remote_id = $2

-- name: alive_workers
SELECT count(*) FROM jobrunner.workers WHERE dead_at IS NULL AND lease_until > now() AND queue = $1

-- name: circumstances
-- Of a job on queue $1, of task $2, held by worker $3. What workers hold is counted in the rows: what they say of
-- themselves is as old as their last heartbeat.
WITH alive AS (
  SELECT tasks IS NULL OR $2 = ANY (tasks) AS able,
         max_jobs - (SELECT count(*) FROM jobrunner.jobs WHERE worker_id = worker.id) AS free
  FROM jobrunner.workers AS worker WHERE dead_at IS NULL AND lease_until > now() AND queue = $1
)
SELECT now() AS at, count(*) AS alive, count(*) FILTER (WHERE able) AS able,
       coalesce(sum(free) FILTER (WHERE able), 0)::bigint AS free,
       (SELECT least(lease_until, dead_at) FROM jobrunner.workers WHERE id = $3::uuid) AS held_until
FROM alive

-- name: server
SELECT current_setting('server_version_num')::int / 10000 AS major,
       pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS read_only,
       current_setting('fsync')::boolean AND current_setting('synchronous_commit') <> 'off' AS durable,
       current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL) AS free,
       ARRAY(SELECT relname FROM pg_class
             WHERE relnamespace = to_regnamespace('jobrunner') AND relkind = 'r'
               AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))) AS forbidden

-- name: backend
SELECT pg_backend_pid()

-- name: backlogs
SELECT queue,
       count(*) FILTER (WHERE status = 'pending' AND module IS NOT NULL AND due_at <= now()) AS due,
       count(*) FILTER (WHERE status = 'pending' AND module IS NOT NULL AND due_at > now()) AS later,
       count(*) FILTER (WHERE status = 'in_progress') AS running,
       count(*) FILTER (WHERE module IS NULL) AS strange
FROM jobrunner.jobs WHERE status IN ('pending', 'in_progress') GROUP BY queue

-- name: mint
SELECT * FROM jobrunner.signed_mints WHERE key = $1

-- name: mint_at
SELECT * FROM jobrunner.signed_mints WHERE chain_id = $1 AND genesis = $2 AND address = $3 AND nonce = $4

-- name: lock_signer
-- Until the end of the transaction nobody else gives out a nonce of this account.
INSERT INTO jobrunner.signers (chain_id, genesis, address) VALUES ($1, $2, $3)
ON CONFLICT (chain_id, genesis, address) DO UPDATE SET signed_at = now()
RETURNING id

-- name: make_irrevocable
-- No row: it was cancelled in time, or is not being run. A cancel that waits for this lock then sees it.
UPDATE jobrunner.jobs SET irrevocable_at = now(), updated_at = now()
WHERE id = $1 AND status = 'in_progress' AND cancel_requested_at IS NULL
RETURNING id

-- name: free_nonce
-- The first one from $2 on that no mint of the signer $1 has.
SELECT nonce FROM generate_series($2::bigint, $2::bigint + (
  SELECT count(*) FROM jobrunner.mints WHERE signer_id = $1 AND nonce >= $2)) AS free (nonce)
WHERE NOT EXISTS (SELECT FROM jobrunner.mints AS mint WHERE mint.signer_id = $1 AND mint.nonce = free.nonce)
ORDER BY nonce LIMIT 1

-- name: save_mint
INSERT INTO jobrunner.mints (key, job_id, signer_id, nonce, state, target, data, gas)
VALUES ($1, $2, $3, $4, 'signed', $5, $6, $7)
ON CONFLICT (key) DO UPDATE SET signer_id = excluded.signer_id, nonce = excluded.nonce, state = excluded.state,
  target = excluded.target, data = excluded.data, gas = excluded.gas, updated_at = now()

-- name: save_transaction
INSERT INTO jobrunner.transactions (hash, mint_key, number, nonce, raw, max_wei, tip_wei)
SELECT $1, $2, 1 + count(*), $3, $4, $5, $6 FROM jobrunner.transactions WHERE mint_key = $2
ON CONFLICT (mint_key, hash) DO UPDATE SET number = excluded.number, signed_at = now() -- signed before, at a nonce given back

-- name: settle_mint
-- One that came to nothing can be cancelled again, with its job.
WITH settled AS (
  UPDATE jobrunner.mints SET state = $2, nonce = CASE WHEN $2 = 'refused' THEN NULL ELSE nonce END, updated_at = now()
  WHERE key = $1 RETURNING job_id
)
UPDATE jobrunner.jobs AS job SET irrevocable_at = NULL, updated_at = now()
FROM settled WHERE job.id = settled.job_id AND $2 <> 'mined'

-- name: prune_jobs
-- Steps and artifacts follow their job; the artifacts' files are the caller's to delete. An idempotency key is good for
-- a day at least.
WITH old AS MATERIALIZED (
  SELECT id FROM jobrunner.jobs
  WHERE created_at < now() - $1 * interval '1 day' AND completed_at < now() - $1 * interval '1 day'
    AND status IN ('completed', 'failed', 'cancelled')
    AND (idempotency_key IS NULL OR created_at < now() - interval '1 day')
  ORDER BY created_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
), files AS (
  SELECT key FROM jobrunner.artifacts WHERE job_id IN (SELECT id FROM old)
), gone AS (
  DELETE FROM jobrunner.jobs WHERE id IN (SELECT id FROM old) RETURNING id
)
SELECT (SELECT count(*) FROM gone) AS jobs, ARRAY(SELECT key FROM files) AS keys

-- name: prune_uploads
-- A job names the uploads that it uses anywhere in its params.
WITH used AS (
  SELECT found[1]::uuid AS id
  FROM jobrunner.jobs, regexp_matches(lower(params::text), '([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})', 'g') AS found
  WHERE status IN ('pending', 'in_progress')
), old AS (
  SELECT id FROM jobrunner.artifacts
  WHERE job_id IS NULL AND created_at < now() - $1 * interval '1 day' AND id NOT IN (SELECT id FROM used)
  ORDER BY created_at LIMIT $2
)
DELETE FROM jobrunner.artifacts WHERE id IN (SELECT id FROM old) RETURNING key

-- name: prune_logs
DELETE FROM jobrunner.logs WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM jobrunner.logs WHERE at < now() - $1 * interval '1 day' ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED))
RETURNING number

-- name: prune_workers
WITH old AS (
  SELECT id FROM jobrunner.workers AS worker
  WHERE dead_at < now() - interval '1 day' AND NOT EXISTS (SELECT FROM jobrunner.jobs WHERE worker_id = worker.id)
  ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
)
DELETE FROM jobrunner.workers WHERE id IN (SELECT id FROM old) RETURNING id

-- name: prune_minutes
DELETE FROM jobrunner.minutes WHERE (minute, process, kind, name) IN (
  SELECT minute, process, kind, name FROM jobrunner.minutes
  WHERE minute < now() - interval '7 days' ORDER BY minute LIMIT $1)
RETURNING minute

-- name: artifacts_known
SELECT id FROM jobrunner.artifacts WHERE id = ANY ($1::uuid[])

-- name: jobs_in_progress
SELECT id FROM jobrunner.jobs WHERE id = ANY ($1::uuid[]) AND status = 'in_progress'

-- name: gauges
SELECT xact_commit AS commits, (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint AS wal_bytes,
       pg_backend_pid() AS backend_pid, now() AS now,
       (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'jobrunner') AS connections
FROM pg_stat_database WHERE datname = current_database()

-- name: forget_jobs
-- Steps and artifacts follow their job.
DELETE FROM jobrunner.jobs WHERE created_at >= $2 AND queue = $1 RETURNING id

-- name: forget_workers
DELETE FROM jobrunner.workers WHERE queue = $1

-- name: save_minutes
-- $1 the process that counted. Absolute values: written twice they are the same.
INSERT INTO jobrunner.minutes (process, minute, kind, name, counts, seconds, spent)
SELECT $1, minute, kind, name, counts::jsonb, seconds::jsonb, spent::jsonb
FROM unnest($2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
  AS counted (minute, kind, name, counts, seconds, spent)
ON CONFLICT (minute, process, kind, name) DO UPDATE
SET counts = excluded.counts, seconds = excluded.seconds, spent = excluded.spent

-- name: last_hour
-- $1 how many minutes, with the one under way. A process' clock may be ahead of ours by a little.
WITH recent AS MATERIALIZED (
  SELECT greatest(0, extract(epoch FROM date_trunc('minute', now()) - minute) / 60)::int AS ago,
         kind, name, counts, seconds, spent
  FROM jobrunner.minutes WHERE minute > date_trunc('minute', now()) - $1 * interval '1 minute'
)
SELECT ago, kind, name, 'counts', key, sum(value::bigint)::text FROM recent, jsonb_each_text(counts)
GROUP BY ago, kind, name, key
UNION ALL
SELECT ago, kind, name, 'seconds', key, sum(value::bigint)::text FROM recent, jsonb_each_text(seconds)
GROUP BY ago, kind, name, key
UNION ALL
SELECT ago, kind, name, 'spent', key, sum(value::numeric)::text FROM recent, jsonb_each_text(spent)
GROUP BY ago, kind, name, key

-- name: last_hour_of_user
-- The same of $2's jobs that ran, from their rows. $3, $4: how `seconds` is counted (store/minutes.py).
WITH ended AS (
  SELECT task, status,
         (extract(epoch FROM date_trunc('minute', now()) - date_trunc('minute', completed_at)) / 60)::int AS ago,
         round($3::int * ln(greatest($4::float8, extract(epoch FROM completed_at - started_at)::float8)) / ln(2)) AS step
  FROM jobrunner.jobs
  WHERE user_id = $2 AND status IN ('completed', 'failed', 'cancelled') AND module <> 'webhook'
    AND started_at IS NOT NULL
    AND completed_at >= date_trunc('minute', now()) - ($1 - 1) * interval '1 minute'
)
SELECT ago, 'task', task, 'counts', status, count(*)::text FROM ended GROUP BY ago, task, status
UNION ALL
SELECT ago, 'task', task, 'seconds', step::text, count(*)::text FROM ended WHERE status = 'completed'
GROUP BY ago, task, step

-- name: clock
SELECT now()

-- name: open_jobs
-- $1 whose, or NULL for all. The last attempt of a pending job names the provider at which it failed; where a job was
-- put off, it left no trace but its fence.
SELECT queue, task, coalesce(module, '') AS module, CASE status WHEN 'pending' THEN error ->> 'provider' END AS provider,
       count(*) FILTER (WHERE status = 'pending') AS pending,
       count(*) FILTER (WHERE status = 'pending' AND due_at <= now()) AS due,
       min(due_at) FILTER (WHERE status = 'pending' AND due_at <= now()) AS due_since,
       count(*) FILTER (WHERE status = 'pending' AND due_at > now() AND fence > 0 AND error IS NULL) AS put_off,
       count(*) FILTER (WHERE status = 'in_progress') AS in_progress
FROM jobrunner.jobs
WHERE status IN ('pending', 'in_progress') AND ($1::text IS NULL OR user_id = $1 AND module IS DISTINCT FROM 'webhook')
GROUP BY 1, 2, 3, 4

-- name: bought
SELECT provider, count(DISTINCT job_id) AS jobs
FROM jobrunner.jobs AS job JOIN jobrunner.steps AS step ON step.job_id = job.id
WHERE job.status = 'in_progress' AND step.state IN ('intent', 'running') AND provider IS NOT NULL
GROUP BY provider

-- name: crew_of_late
-- Those that live, are overdue, or died within ten minutes. One that took its leave died as its lease ended.
SELECT id, host, pid, version, queue, tasks, started_at, renewed_at, lease_until, dead_at, max_jobs, in_flight, stats,
       dead_at IS NULL AND lease_until > now() AS alive
FROM jobrunner.workers
WHERE dead_at IS NULL OR dead_at <> lease_until AND dead_at > now() - interval '10 minutes'
ORDER BY started_at, id
