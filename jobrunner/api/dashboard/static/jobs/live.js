// What happens to jobs, told to a list of them while it is shown.

import { ApiError, pause, stream, visible } from "../api.js";
import { say } from "../parts.js";

const ENDED = new Set(["completed", "failed", "cancelled"]);
const LOOK_MS = 1500;

/**
 * Keep `list` up to date until `signal` is aborted. `arrived()` is called once jobs that it lacks were read,
 * `seen()` answers the ids of those that can be seen.
 */
export function live(list, { arrived, seen, signal }) {
  const { task, module, user_id, status } = list.wanted;
  const states = new Set(status?.split(","));
  let unknown = false;

  const moved = (said) => {
    const { id, attempt, error, due_at, updated_at, result_url } = said;
    const change = { status: said.status, attempt, error, due_at, updated_at, result_url };
    if (ENDED.has(said.status)) Object.assign(change, { completed_at: updated_at });
    if (said.status === "pending") Object.assign(change, { progress: null, progress_note: null, completed_at: null });
    if (said.status === "in_progress") Object.assign(change, { error: null, ...startOf(list, id, updated_at) });
    if (!list.patch(id, change)) unknown ||= attempt <= 1 || states.has(said.status);
    else if (ENDED.has(said.status)) list.ended(id);
  };
  const handlers = {
    status: moved,
    progress: ({ id, attempt, progress, progress_note }) => list.patch(id, { attempt, progress, progress_note }),
    preview: ({ id, attempt }, event) => list.patch(id, { attempt, preview: encodeURIComponent(event.id) }),
    reset: () => {
      unknown = true;
      list.doubt();
    },
    failed: (error) => say(`This list is not kept up to date: ${error.detail}`, "warning"),
  };
  stream("/v1/events", { task, module, user_id }, handlers, { signal });
  look();

  async function look() {
    while (!signal.aborted) {
      await pause(LOOK_MS, signal);
      await visible(signal);
      if (signal.aborted) return;
      try {
        await list.readUnread(seen());
        if (!unknown) continue;
        unknown = false;
        await list.look();
        arrived();
      } catch (error) {
        if (signal.aborted) return;
        if (!(error instanceof ApiError)) throw error;
        if (error.status === 404) list.unread.clear(); // what was pruned meanwhile is read no more
        unknown = true; // else the server is away, which the strip above the page says: look again
      }
    }
  }
}

/** The first claim is when a job begins. */
function startOf(list, id, at) {
  const n = list.at.get(id);
  return n === undefined || list.jobs[n].started_at ? {} : { started_at: at };
}
