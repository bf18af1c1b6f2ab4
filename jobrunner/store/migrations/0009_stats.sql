-- What a worker last said of itself, beside its lease: its event loop, its memory, its tasks, providers that refuse it.
ALTER TABLE jobrunner.workers ADD COLUMN stats jsonb NOT NULL DEFAULT '{}';

-- What a process saw end in a minute, by the name of a task or a provider. `counts`: how often, by word. `seconds`: how
-- often it took about so long (store/minutes.py). `spent`: amounts, by unit. A process writes over its own values what
-- they are by now, so that a write that is repeated changes nothing.
CREATE TABLE jobrunner.minutes (
  minute  timestamptz NOT NULL,
  process uuid NOT NULL,
  kind    text NOT NULL CHECK (kind IN ('task', 'provider')),
  name    text NOT NULL,
  counts  jsonb NOT NULL,
  seconds jsonb NOT NULL,
  spent   jsonb NOT NULL,
  PRIMARY KEY (minute, process, kind, name)
) WITH (fillfactor = 50);
