-- The two transitions that every job makes are seen to be right without a call of the guard, twice a job; all others
-- are its to judge.
DROP TRIGGER guard_transition ON jobrunner.jobs;
CREATE TRIGGER guard_transition BEFORE UPDATE OF status, fence ON jobrunner.jobs
  FOR EACH ROW
  WHEN (NOT (OLD.status = 'pending' AND NEW.status = 'in_progress' AND NEW.fence > OLD.fence
             OR OLD.status = 'in_progress' AND NEW.status = 'completed' AND NEW.fence = OLD.fence))
  EXECUTE FUNCTION jobrunner.guard_transition();
