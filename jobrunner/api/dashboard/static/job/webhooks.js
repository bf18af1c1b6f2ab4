// What a job's webhooks were told of it, and telling them again.

import { ApiError, get, post, session } from "../api.js";
import { badge, confirmed, h, icon, problem, say, when } from "../parts.js";

const SOON_MS = 3000;

export class Webhooks {
  constructor(id, signal) {
    Object.assign(this, { id, signal, timer: 0 });
    this.node = h("section", { hidden: true });
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  async read() {
    clearTimeout(this.timer);
    try {
      const told = await get(`/v1/jobs/${this.id}/webhooks`, null, { signal: this.signal });
      this.draw(told);
      const moves = told.data.some(({ status }) => status === "pending" || status === "in_progress");
      if (moves) this.timer = setTimeout(() => this.read(), SOON_MS);
    } catch (error) {
      if (this.signal.aborted) return;
      this.node.hidden = false;
      this.node.replaceChildren(h("h2", null, "Webhooks"), problem(error, { again: () => this.read() }));
    }
  }

  draw({ data, disabled }) {
    this.node.hidden = !data.length && !disabled.length;
    const replay = session.may("operate") && h("button", { on: { click: () => this.replay() } }, icon("retry"), "Tell them again");
    this.node.replaceChildren(
      h("div", { class: "section-head" }, h("h2", null, "Webhooks"), replay),
      ...disabled.map(({ url, reason, disabled_at }) =>
        h("p", { class: "job-note warn" }, icon("warning"),
          h("span", null, "Nothing is sent to ", h("code", null, url), " since ", when(disabled_at), `: ${reason} Telling it again turns it on.`))),
      h("ul", { class: "sheet hooks" }, data.map(delivery)));
  }

  async replay() {
    const text = "Every webhook of the job hears once more how it ended, under the same message id.";
    if (!(await confirmed({ title: "Tell the webhooks again?", text, verb: "Tell them again" }))) return;
    try {
      await post(`/v1/jobs/${this.id}/webhooks/replay`);
      say("They are told again.", "ok");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      say(error.detail, "error");
    }
    await this.read();
  }
}

function delivery({ url, type, status, last_answer, attempts, due_at, completed_at, created_at }) {
  const tries = attempts === 1 ? "1 try" : `${attempts} tries`;
  return h("li", null,
    h("p", null, h("code", null, url)),
    h("p", { class: "toolbar small" }, badge(status), h("span", null, `${type} · ${tries} · ${last_answer ?? "no answer yet"}`),
      h("span", { class: "faint" }, due_at && "next ", when(due_at ?? completed_at ?? created_at))));
}
