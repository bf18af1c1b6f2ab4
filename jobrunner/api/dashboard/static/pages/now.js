// Now: what is wrong first, in words; then how each task, provider, worker and server is doing.

import { get, pause, visible } from "../api.js";
import { leave, reached, unreached } from "../connection.js";
import { morph } from "../morph.js";
import { badge, bytes, count, empty, h, icon, money, prose, seconds, spark, when } from "../parts.js";
import { table } from "../table.js";

export const title = "Now";

const PATH = "/v1/overview";
const EVERY_MS = 2000;
const LATE_MS = 5000;

export async function show(main, { signal }) {
  main.append(head(), empty("Asking the server …"));
  const draw = (...parts) => morph(main, h("div", { class: "page now" }, parts));
  let last = null;
  try {
    while (!signal.aborted) {
      try {
        last = await get(PATH, null, { signal, withinMs: LATE_MS });
        reached(PATH);
        draw(drawn(last));
      } catch (error) {
        if (!error.passing) throw error;
        unreached(PATH);
        draw(outage(error, last, await checks(signal)));
      }
      await pause(EVERY_MS, signal);
      await visible(signal);
    }
  } finally {
    leave(PATH);
  }
}

const head = (at) =>
  h("div", { class: "page-head" }, h("h1", null, title), at && h("p", { class: "faint" }, "as of ", when(at)));

function drawn({ at, tasks, providers, workers, servers, problems }) {
  const everything = Object.keys(servers).length > 0; // a caller that is bound to a user is told of its jobs alone
  return [
    head(at),
    (everything || problems.length > 0) && problemList(problems),
    figures(tasks),
    section("Tasks", taskTable(tasks)),
    everything && [
      section("Providers", providerTable(providers)),
      section("Workers", workerTable(workers)),
      section("Servers", serverList(servers)),
    ],
  ];
}

/** Without Postgres there is no overview, but what is away can be told, and how things stood before. */
function outage(error, last, servers) {
  const remedy = last ? "Below is how things stood before. This page goes on asking." : "This page goes on asking.";
  const failing = Object.keys(servers).filter((name) => !servers[name].ok);
  const what = failing.length ? `Out of order: ${failing.join(", ")}; see Servers` : error.detail;
  const problems = [{ severity: "error", what, since: null, remedy }];
  if (last) return drawn({ ...last, problems, servers });
  return [head(), problemList(problems), section("Servers", serverList(servers))];
}

/** What the API finds of the servers that it depends on; or that it is away itself. */
async function checks(signal) {
  try {
    return (await get("/readyz", null, { signal, takes: [503], withinMs: LATE_MS })).checks;
  } catch {
    return { api: { ok: false, detail: "does not answer" } };
  }
}

const section = (name, ...content) => h("section", { dataset: { key: name } }, h("h2", null, name), content);

function problemList(problems) {
  const fine = h("p", { class: "sheet fine" }, icon("completed"), "Nothing is wrong.");
  const items = problems.map(({ severity, what, since, remedy }) =>
    h("li", { class: "trouble", dataset: { severity } },
      icon(severity === "error" ? "failed" : "warning"),
      h("div", null,
        h("p", { class: "strong" }, h("span", { class: "visually-hidden" }, `${severity}: `), prose(what)),
        h("p", null, prose(remedy))),
      since && h("p", { class: "since" }, when(since))),
  );
  return section("What is wrong", problems.length ? h("ul", { class: "sheet troubles" }, items) : fine);
}

function figures(tasks) {
  const total = (of) => tasks.reduce((sum, task) => sum + of(task), 0);
  const sum = (name) => total((task) => task[name]);
  const ended = Array.from({ length: 60 }, (_, minute) => total((task) => task.ended_per_minute[minute]));
  const waiting = tasks.map((task) => task.oldest_pending_s).filter((age) => age != null);
  return h(
    "dl",
    { class: "sheet figures", dataset: { key: "figures" } },
    figure("Pending", link({ status: "pending" }, count(sum("pending")))),
    figure("Oldest pending", seconds(waiting.length ? Math.max(...waiting) : null)),
    figure("In progress", link({ status: "in_progress" }, count(sum("in_progress")))),
    figure("Completed, last hour", link({ status: "completed" }, count(sum("completed_1h")))),
    figure("Failed, last hour", link({ status: "failed" }, count(sum("failed_1h"))), sum("failed_1h") > 0 && "bad"),
    figure("Ended a minute, last hour", spark(ended, { label: "Jobs ended a minute", format: count })),
  );
}

const figure = (name, value, kind) => h("div", { class: kind }, h("dt", null, name), h("dd", null, value));
const link = (query, words, attrs) => h("a", { href: `#/jobs?${new URLSearchParams(query)}`, ...attrs }, words);
const bad = (n, said) => h("span", { class: n > 0 && "bad" }, said);

function taskTable(tasks) {
  const isBusy = (row) => row.pending + row.in_progress + row.completed_1h + row.failed_1h > 0;
  const of = ({ task }, status, n) => (n ? link({ task, status }, count(n)) : "0");
  const columns = [
    { label: "Task", cell: ({ task }) => link({ task }, task, { dataset: { row: "" } }) },
    { label: "Pending", kind: "num", cell: (row) => of(row, "pending", row.pending) },
    { label: "In progress", kind: "num", cell: (row) => of(row, "in_progress", row.in_progress) },
    { label: "Completed 1 h", kind: "num", cell: (row) => of(row, "completed", row.completed_1h) },
    { label: "Failed 1 h", kind: "num", cell: (row) => bad(row.failed_1h, of(row, "failed", row.failed_1h)) },
    { label: "Oldest pending", kind: "num", cell: (row) => seconds(row.oldest_pending_s) },
    { label: "Wait", kind: "num", cell: (row) => seconds(row.wait_s) },
    counts("Ended a minute", (row) => row.ended_per_minute),
    measures("Median time", (row) => row.median_s),
  ];
  const none = "No job has run in the last hour, and none waits.";
  return busyTable("Tasks", columns, tasks, { nameOf: ({ task }) => task, isBusy, none });
}

function providerTable(providers) {
  const isBusy = (row) => row.state !== "ok" || row.in_progress + row.waiting + row.calls_1h > 0;
  const state = (row) => [badge(row.state), row.since && h("span", { class: "faint small" }, " ", when(row.since))];
  const columns = [
    { label: "Provider", cell: ({ provider }) => provider },
    { label: "State", kind: "wide", cell: state },
    { label: "In progress", kind: "num", cell: (row) => count(row.in_progress) },
    { label: "Waiting", kind: "num", cell: (row) => count(row.waiting) },
    { label: "Calls 1 h", kind: "num", cell: (row) => count(row.calls_1h) },
    { label: "Errors", kind: "num", cell: (row) => bad(row.errors_1h, count(row.errors_1h)) },
    { label: "429", kind: "num", cell: (row) => count(row.limited_1h) },
    { label: "Spent 1 h", kind: "num", cell: (row) => money(row.spent_1h) },
    counts("Calls a minute", (row) => row.calls_per_minute),
    measures("Median time", (row) => row.median_s),
  ];
  const none = "No provider was called in the last hour.";
  return busyTable("Providers", columns, providers, { nameOf: ({ provider }) => provider, isBusy, none });
}

/** What has something to tell, by name; of the rest the names alone. */
function busyTable(caption, columns, rows, { nameOf, isBusy, none }) {
  const sorted = rows.toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)));
  const busy = sorted.filter(isBusy);
  const idle = sorted.filter((row) => !isBusy(row)).map(nameOf);
  return [
    busy.length ? table(caption, columns, busy, nameOf) : h("div", { class: "sheet" }, empty(none)),
    idle.length > 0 && h("p", { class: "idle faint small" }, "Idle: ", idle.join(", ")),
  ];
}

function workerTable(workers) {
  const none = empty("No worker is alive. Start one: ", h("code", null, "jobrunner worker"));
  if (!workers.length) return h("div", { class: "sheet" }, none);
  const load = ({ in_flight, max_jobs }) => [
    h("progress", { max: max_jobs, value: in_flight, "aria-label": "Jobs in flight" }),
    h("span", { class: "small faint" }, `${count(in_flight)} of ${count(max_jobs)}`),
  ];
  const columns = [
    { label: "Worker", cell: ({ id, host, pid }) => h("span", { title: id }, `${host}:${pid}`) },
    { label: "State", cell: ({ alive }) => badge(alive ? "alive" : "dead") },
    { label: "In flight", kind: "load", cell: load },
    { label: "Loop lag", kind: "num", cell: ({ loop_lag_ms: ms }) => seconds(ms == null ? null : ms / 1000) },
    { label: "Memory", kind: "num", cell: ({ memory_bytes }) => bytes(memory_bytes) },
    { label: "Queue", cell: ({ queue }) => h("code", null, queue) },
    { label: "Version", cell: ({ version }) => version },
    { label: "Lease ends", cell: ({ lease_until }) => when(lease_until) },
    { label: "Started", cell: ({ started_at }) => when(started_at) },
  ];
  return table("Workers", columns, workers, ({ id }) => id);
}

function counts(label, of) {
  const cell = (row) => h("div", { class: "trend" }, spark(of(row), { label, format: count }));
  return { label, kind: "wide", cell };
}

/** A column of curves, and where each has got to. */
function measures(label, of) {
  const cell = (row) => {
    const newest = of(row).findLast((value) => value != null);
    return h("div", { class: "trend" },
      spark(of(row), { label, shape: "line", format: seconds }),
      h("span", null, seconds(newest)));
  };
  return { label, kind: "wide", cell };
}

function serverList(servers) {
  const facts = Object.entries(servers).map(([name, { ok, detail }]) => {
    const state = h("dt", null, badge(ok ? "ok" : "failed", name));
    return h("div", { dataset: { key: name } }, state, h("dd", null, prose(detail)));
  });
  return h("dl", { class: "sheet servers" }, facts);
}
