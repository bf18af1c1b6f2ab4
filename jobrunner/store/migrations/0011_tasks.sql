-- Which tasks a worker knows: whoever asks why a job waits is told that nobody can run it. NULL: it does not say.
ALTER TABLE jobrunner.workers ADD COLUMN tasks text[];
