-- What jobs made, the newest first: of all, and of one user. Uploads have no step; a step named like that fetched a
-- file that the params name.
CREATE INDEX artifacts_newest ON jobrunner.artifacts (created_at DESC, id DESC)
  WHERE step !~ '^input\.[0-9a-f]{16}$';
CREATE INDEX artifacts_newest_by_user ON jobrunner.artifacts (user_id, created_at DESC, id DESC)
  WHERE step !~ '^input\.[0-9a-f]{16}$' AND user_id IS NOT NULL;
