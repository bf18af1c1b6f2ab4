-- Files that somebody uploaded belong to no job; whose a file is decides who may use it as an input.
ALTER TABLE jobrunner.artifacts
  ALTER COLUMN job_id DROP NOT NULL,
  ALTER COLUMN step DROP NOT NULL,
  ADD COLUMN duration_s double precision,
  ADD COLUMN user_id text;

DO $$
DECLARE
  module record;
BEGIN
  FOR module IN SELECT * FROM (VALUES
      ('video', 'video_generations', 'video_url'), ('audio', 'audio_generations', 'audio_url'),
      ('lipsync', 'lipsync_generations', 'video_url'), ('merge', 'video_merges', 'video_url'),
      ('ai', 'ai_generations', 'text_url'), ('blockchain', 'nft_mints', 'nft_url')) AS known (name, view, url)
  LOOP
    IF to_regclass('public.' || module.view) IS NULL THEN
      EXECUTE format(
        'CREATE VIEW public.%I WITH (security_invoker = on) AS
           SELECT id, record_id, user_id, task, status, params, result, result_url AS %I,
                  error ->> ''message'' AS error_message, error, progress, fence AS attempt,
                  created_at, started_at, completed_at, updated_at
           FROM jobrunner.jobs WHERE module = %L', module.view, module.url, module.name);
    END IF;
  END LOOP;
END $$;
