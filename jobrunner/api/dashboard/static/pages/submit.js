// A form for each task, made from its JSON Schema: for trying it by hand.

import { get, post, session, upload } from "../api.js";
import { prose } from "../fields.js";
import { form } from "../form.js";
import { empty, h, icon, problem, say, seconds } from "../parts.js";
import { changes } from "../session.js";

export const title = "Submit";

const VERB = "Submit job";
const AGAIN = "Submit it again: if it was taken after all, that makes no second job.";

/** What the reader last typed, by task, and for which user: to change a word and try again. Gone with the session. */
const drafts = new Map();
let lastUser;
changes.addEventListener("change", () => {
  drafts.clear();
  lastUser = undefined;
});

export async function show(main, { path: [name], query, signal }) {
  const { data: tasks } = await get("/v1/tasks", null, { signal });
  const task = tasks.find((each) => each.name === name);
  if (name && !task) return main.append(problem({ title: "There is no such task", detail: `No task is called ${name}.` }));
  const earlier = task && query.from ? await get(`/v1/jobs/${encodeURIComponent(query.from)}`, null, { signal }) : null;
  main.append(
    h("div", { class: "page-head" }, h("h1", null, title)),
    h("div", { class: ["submit", task && "chosen"] },
      choosing(tasks, name),
      task ? filling(task, earlier?.params ?? drafts.get(name)) : empty("Choose a task: its form is made from its own schema.")),
  );
}

/** The tasks by module, to choose from. */
function choosing(tasks, name) {
  const search = h("input", { type: "search", placeholder: "Find a task", "aria-label": "Find a task", dataset: { search: "" } });
  const links = tasks.map((task) => ({ task, element: link(task, name) }));
  const modules = [...new Set(tasks.map(({ module }) => module))].sort();
  const sections = modules.map((module) =>
    h("section", null, h("h3", null, module),
      h("ul", null, links.filter(({ task }) => task.module === module).map(({ element }) => element))),
  );
  search.addEventListener("input", () => {
    const word = search.value.trim().toLowerCase();
    for (const { task, element } of links) element.hidden = !`${task.name} ${task.summary}`.toLowerCase().includes(word);
    for (const each of sections) each.hidden = !each.querySelector("li:not([hidden])");
  });
  return h("nav", { class: "tasks", "aria-label": "Tasks" }, h("h2", { class: "visually-hidden" }, "Tasks"), search, sections);
}

function link(task, name) {
  const current = task.name === name ? "page" : null;
  const to = h("a", { href: `#/submit/${encodeURIComponent(task.name)}`, "aria-current": current, dataset: { row: "" } },
    h("code", null, task.name), h("span", { class: "faint small" }, task.summary));
  return h("li", null, to);
}

function filling(task, draft) {
  const params = form(task.params);
  const state = { sending: false, uploaded: new Map(), tried: null };
  const wrong = h("div");
  const line = h("pre", { class: "scroll", tabIndex: 0, "aria-label": "The request, as a line for a shell" });
  const verb = h("span", null, VERB);
  const submit = h("button", { class: "primary" }, icon("submit"), verb);
  const example = h("button", { type: "button", hidden: true }, "Fill in an example");
  if (draft || params.parts) params.fill({ user_id: session.userId ?? lastUser, ...draft });

  const element = h("form", { class: "sheet padded stack", noValidate: true },
    h("a", { class: "back", href: "#/submit" }, "All tasks"),
    h("div", { class: "section-head" }, h("h2", null, h("code", null, task.name)), example),
    h("p", null, task.summary),
    task.params.description && h("p", { class: "faint" }, prose(task.params.description)),
    h("p", { class: "faint small" }, `Ends after ${seconds(task.timeout_s)} at the latest; ${tried(task.retries)}.`),
    wrong, params.element,
    h("div", { class: "toolbar" }, submit, h("span", { class: "faint small" }, h("kbd", null, "Ctrl"), " ", h("kbd", null, "Enter"))),
    h("details", null, h("summary", null, "The same as a request"), line));

  function changed() {
    const typed = params.read();
    drafts.set(task.name, typed);
    lastUser = typed?.user_id ?? lastUser;
    line.textContent = curl({ task: task.name, params: typed });
  }
  async function send(event) {
    event.preventDefault();
    if (state.sending) return;
    params.clear();
    wrong.replaceChildren();
    if (!params.check()) return toFirstWrong(element);
    state.sending = submit.disabled = true;
    verb.textContent = "Submitting …";
    try {
      const { id } = await submitted(task, params.read(), state);
      say("Submitted.", "ok");
      if (element.isConnected) location.hash = `#/jobs/${id}`;
    } catch (error) {
      const unplaced = place(error, params);
      if (unplaced) wrong.replaceChildren(problem(unplaced), error.status === 0 ? h("p", null, AGAIN) : "");
      else toFirstWrong(element);
      if (!error.status && !error.title) console.error(error); // a bug of ours
    } finally {
      state.sending = submit.disabled = false;
      verb.textContent = VERB;
    }
  }
  exampleOf(task).then((found) => {
    example.hidden = !found;
    example.addEventListener("click", () => {
      params.fill({ ...found, ...(session.userId && { user_id: session.userId }) });
      changed();
    });
  });
  element.addEventListener("submit", send);
  element.addEventListener("input", changed);
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element.requestSubmit();
  });
  changed();
  return element;
}

const tried = (retries) =>
  retries === 0 ? "never tried again" : retries === 1 ? "tried again once" : `tried again up to ${retries} times`;

/**
 * Send it; answers what the server does. Chosen files go first, each once. The same request keeps its key until it was
 * taken: sent again because the answer was lost, it makes no second job.
 */
async function submitted(task, params, state) {
  const body = { task: task.name, params: await kept(params, [], { user_id: params?.user_id, uploaded: state.uploaded }) };
  const said = JSON.stringify(body);
  if (state.tried?.said !== said) state.tried = { said, key: newKey() };
  const answer = await post("/v1/jobs", body, { headers: { "Idempotency-Key": state.tried.key } });
  state.tried = null;
  return answer;
}

/** 128 random bits; unlike crypto.randomUUID also where the page came by plain HTTP. */
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** `value` with the id of an artifact for each file. A file that is not taken throws, with its `place`. */
async function kept(value, place, sending) {
  if (value instanceof File) return (await keep(value, place, sending)).id;
  if (typeof value !== "object" || value === null) return value;
  const made = Array.isArray(value) ? [] : {};
  for (const [name, each] of Object.entries(value)) made[name] = await kept(each, [...place, name], sending);
  return made;
}

async function keep(file, place, { user_id, uploaded }) {
  const known = uploaded.get(file);
  if (known && known.user_id === user_id) return known;
  try {
    const artifact = await upload(file, { user_id });
    uploaded.set(file, { id: artifact.id, user_id });
    return artifact;
  } catch (error) {
    if (error.status === 415 || error.status === 422) error.place = place;
    throw error;
  }
}

/** Show what is wrong at its fields; answers the error if some of it belongs to no field. */
function place(error, params) {
  if (error.place) return void params.fail(error.place, error.detail);
  const errors = error.errors ?? [];
  const inside = errors.filter(({ path }) => path === "params" || path.startsWith("params."));
  for (const { path, message } of inside) params.fail(path.split(".").slice(1), message);
  return inside.length > 0 && inside.length === errors.length ? undefined : error;
}

function toFirstWrong(element) {
  const around = element.querySelector(".wrong:not([hidden])")?.closest(".field, fieldset, form");
  const input = [...(around?.querySelectorAll("input, select, textarea, button") ?? [])].find((each) => each.checkVisibility());
  input?.focus();
}

let examples;

/** The docs' example of a task's params, if they have one, without the files that it names: they are nowhere. */
async function exampleOf(task) {
  examples ??= get("/openapi.json").then(({ paths }) => paths["/v1/jobs"].post.requestBody.content["application/json"].examples);
  const found = await examples.catch(() => ({})); // it is a help, no more
  return found[task.name] && withoutFiles(found[task.name].value.params);
}

function withoutFiles(value) {
  if (Array.isArray(value)) return value.map(withoutFiles).filter((each) => each !== undefined);
  if (typeof value !== "object" || value === null) return /^https?:/.test(value) ? undefined : value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withoutFiles(each)]));
}

function curl(body) {
  const said = JSON.stringify(body, (_, value) => (value instanceof File ? `‹id of ${value.name}, once it is uploaded›` : value), 2);
  const key = session.keys ? ['-H "Authorization: Bearer $KEY"'] : [];
  const words = [`curl -sS ${location.origin}/v1/jobs`, ...key, "-H 'Content-Type: application/json'", `-d '${said.replaceAll("'", "'\\''")}'`];
  return words.join(" \\\n  ");
}
