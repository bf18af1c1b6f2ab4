// The frame around the pages: which one is shown, the navigation beside it, who is signed in.

import { del, get } from "./api.js";
import { reached, unreached } from "./connection.js";
import { listen } from "./keys.js";
import { h, icon, problem, say } from "./parts.js";
import { begin, changes, end, session } from "./session.js";
import { signIn } from "./sign_in.js";
import { themeSwitch } from "./theme_switch.js";

const AREAS = [
  { path: "now", label: "Now", page: () => import("./pages/now.js"), scope: "read" },
  { path: "jobs", label: "Jobs", page: () => import("./pages/jobs.js"), scope: "read" },
  { path: "gallery", label: "Gallery", page: () => import("./pages/gallery.js"), scope: "read" },
  { path: "submit", label: "Submit", page: () => import("./pages/submit.js"), scope: "submit" },
  { path: "help", label: "Help", page: () => import("./pages/help.js") },
];
const JOB = { path: "jobs", label: "Job", page: () => import("./pages/job.js"), scope: "read" };

const main = document.getElementById("main");
const rail = document.getElementById("rail");
const may = ({ scope }) => !scope || session.may(scope);
let leaving = new AbortController();

/** `#/jobs/17?tab=log` -> {path: ["jobs", "17"], query: {tab: "log"}}. A page gets the path without its own name. */
function place() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { path: parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a stray percent sign
  }
}

function areaAt(path) {
  if (path[0] === "jobs" && path[1]) return JOB;
  return AREAS.find((area) => area.path === path[0]);
}

/** Show the page that the address names. What the one before began ends with its signal. */
async function show({ focus = true } = {}) {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const { path, query } = place();
  const area = path.length ? areaAt(path) : AREAS.find(may);
  const page = h("div", { class: "page" });
  main.replaceChildren(page);
  navigation(area);
  window.scrollTo(0, 0);
  if (focus) main.focus({ preventScroll: true });
  try {
    if (!area) throw Object.assign(new Error(), nowhere(path));
    if (!may(area)) throw Object.assign(new Error(), closed(area));
    const { title, show: fill } = await area.page();
    if (signal.aborted) return;
    document.title = `${title} · jobrunner`;
    await fill(page, { path: path.slice(1), query, signal });
  } catch (error) {
    if (signal.aborted) return;
    if (!error.title) console.error(error); // a bug of ours: an answer of the server has a title
    page.replaceChildren(h("h1", null, area?.label ?? "jobrunner"), problem(error, { again: () => show() }));
  }
}

const nowhere = (path) => ({ title: "There is no such page", detail: `Nothing is at #/${path.join("/")}.` });
const closed = ({ scope }) => ({
  title: "This needs another key",
  detail: `It needs the scope “${scope}”, and “${session.caller}” has ${session.scopes.join(", ")}.`,
});

function navigation(current) {
  const items = AREAS.filter(may).map(({ path, label }) => {
    const here = path === current?.path ? "page" : null;
    return h("li", null, h("a", { href: `#/${path}`, "aria-current": here }, icon(path), label));
  });
  rail.replaceChildren(brand(), h("nav", { "aria-label": "Pages" }, h("ul", null, items)), account());
}

const brand = () =>
  h("a", { class: "brand", href: "#/" }, h("img", { src: "/dashboard/icon.svg", alt: "" }), "jobrunner");

function account() {
  const scopes = session.keys ? session.scopes.join(", ") : "No keys are set: everybody may do everything.";
  return h(
    "div",
    { class: "account" },
    session.keys && h("p", { class: "who" }, session.caller, session.userId && ` (user ${session.userId})`),
    h("p", { class: "scopes" }, scopes),
    themeSwitch(),
    session.keys && h("button", { on: { click: signOut } }, icon("leave"), "Sign out"),
  );
}

async function signOut() {
  try {
    await del("/v1/session");
  } catch (error) {
    return say(error.detail, "error"); // the cookie is still there: to look signed out would be a lie
  }
  end();
}

/** Either the pages or the sign-in, as the session says. */
function enter() {
  const out = session.caller === null;
  document.body.classList.toggle("out", out);
  if (!out) return show({ focus: false });
  leaving.abort();
  document.title = "Sign in · jobrunner";
  main.replaceChildren(signIn(brand()));
  main.querySelector("input").focus();
}

async function start() {
  try {
    begin(await get("/v1/session"));
    reached("session");
  } catch (error) {
    unreached("session");
    main.replaceChildren(h("div", { class: "page" }, problem(error, { again: start })));
  }
}

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names pages, not places in them
  main.focus();
});
changes.addEventListener("change", enter);
window.addEventListener("hashchange", () => session.caller !== null && show());
listen();
start();
