// The sign-in: a key for a cookie.

import { post } from "./api.js";
import { h, problem } from "./parts.js";
import { begin } from "./session.js";

const UNKNOWN = {
  title: "The server does not know this key",
  detail: "Is it whole, and for this server? A key that was revoked is gone for good.",
};

/** The form. Once the key is taken, the session changes, and the pages are shown. */
export function signIn(brand) {
  const typing = { type: "password", required: true, autocomplete: "current-password", placeholder: "jr_…" };
  const key = h("input", { id: "key", ...typing });
  const submit = h("button", { class: "primary" }, "Sign in");
  const wrong = h("div");
  async function enter(event) {
    event.preventDefault();
    submit.disabled = true;
    try {
      begin(await post("/v1/session", { key: key.value.trim() }));
    } catch (error) {
      wrong.replaceChildren(problem(error.status === 401 ? UNKNOWN : error));
      submit.disabled = false;
      key.select();
    }
  }
  return h(
    "form",
    { class: "sign-in", on: { submit: enter } },
    brand,
    h("h1", null, "Sign in"),
    h("div", { class: "field" },
      h("label", { htmlFor: "key" }, "API key"),
      key,
      h("p", { class: "hint" }, "It stays with the server; this browser is signed in for 12 hours. ",
        h("code", null, "jobrunner keys create"), " makes one.")),
    wrong,
    submit,
  );
}
