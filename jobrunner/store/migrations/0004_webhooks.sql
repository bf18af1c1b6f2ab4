-- Where a job's end is told; NULL: where the settings say.
ALTER TABLE jobrunner.jobs ADD COLUMN webhook text;

-- A delivery is a job of its own, whose params name the one that it tells of.
CREATE INDEX jobs_deliveries ON jobrunner.jobs ((params ->> 'job_id'), id) WHERE module = 'webhook';

-- Receivers that answered 410 Gone: nothing is sent there until a person asks for it.
CREATE TABLE jobrunner.webhooks_disabled (
  url         text PRIMARY KEY,
  reason      text NOT NULL,
  disabled_at timestamptz NOT NULL DEFAULT now()
);
