-- What tasks say while they run: a job's newest lines, in the order of (attempt, number).
CREATE TABLE jobrunner.logs (
  job_id  uuid NOT NULL REFERENCES jobrunner.jobs (id) ON DELETE CASCADE,
  attempt bigint NOT NULL,
  number  integer NOT NULL,
  at      timestamptz NOT NULL,
  level   text NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
  message text NOT NULL,
  fields  jsonb NOT NULL,
  PRIMARY KEY (job_id, attempt, number)
);
CREATE INDEX logs_oldest ON jobrunner.logs (at);
