// Server-Sent Events by fetch: unlike EventSource it can tell a 401 from an outage, and resumes where it paused.
// A stream pauses while its tab is hidden: over HTTP/1.1 a browser has six connections to a server, for all its tabs.

import { ApiError, address, ask } from "./ask.js";
import { leave, reached, unreached } from "./connection.js";

const AGAIN_MS = 2000;
const HIDDEN_MS = 15_000;

/**
 * Follow `path` until `signal` is aborted or the server says that nothing more comes (204). `handlers`: by the event's
 * name, called with its data and {id, name}; `reset`: what is shown is stale and must be read again; `failed`: called
 * with the ApiError that no waiting will mend. Resolves once it is over.
 */
export async function stream(path, query, handlers, { signal } = {}) {
  try {
    await follow(path, query, handlers, signal);
  } finally {
    leave(path);
  }
}

async function follow(path, query, handlers, signal) {
  let lastId = null;
  const heard = ({ id, name, data }) => {
    lastId = id || lastId;
    try {
      handlers[name]?.(data === "" ? null : JSON.parse(data), { id, name });
    } catch (error) {
      reportError(error); // a bug of the page, which no reconnecting mends
    }
  };
  while (!signal?.aborted) {
    await visible(signal);
    const turn = new AbortController();
    const both = signal ? AbortSignal.any([signal, turn.signal]) : turn.signal;
    const stop = whenHidden(() => turn.abort());
    try {
      const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
      const answer = await ask(address(path, query), { headers, signal: both });
      reached(path);
      if (answer.status === 204) return;
      await read(answer.body, heard);
    } catch (error) {
      if (signal?.aborted) return;
      if (error instanceof ApiError && !error.passing) return void handlers.failed?.(error);
      if (!turn.signal.aborted) unreached(path);
    } finally {
      stop();
    }
    if (!turn.signal.aborted) await pause(AGAIN_MS, signal);
  }
}

/** Source: the HTML standard, "Parsing an event stream"; ours sends LF alone, and one `data` line an event. */
async function read(body, heard) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const blocks = (rest + part.value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const event = { id: "", name: "message", data: null };
      for (const line of block.split("\n")) {
        const at = line.indexOf(": ");
        const [field, value] = at > 0 ? [line.slice(0, at), line.slice(at + 2)] : [line, ""];
        if (field === "event") event.name = value;
        else if (field === "id" || field === "data") event[field] = value;
      }
      if (event.data !== null) heard(event);
    }
  }
}

function whenHidden(f) {
  let timer = null;
  const look = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(f, HIDDEN_MS);
  };
  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", look);
  };
}

/** Resolves once the tab is seen, at once where it is; or when `signal` is aborted. */
export async function visible(signal) {
  if (!document.hidden || signal?.aborted) return;
  const { promise, resolve } = Promise.withResolvers();
  document.addEventListener("visibilitychange", resolve);
  signal?.addEventListener("abort", resolve);
  await promise;
  document.removeEventListener("visibilitychange", resolve);
  signal?.removeEventListener("abort", resolve);
}

/** Resolves after `ms`, or when `signal` is aborted. */
export async function pause(ms, signal) {
  const { promise, resolve } = Promise.withResolvers();
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener("abort", resolve);
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", resolve);
}
