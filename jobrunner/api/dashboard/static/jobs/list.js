// The jobs that fit a filter, newest first: read page by page, and kept as true as the stream of events lets them be.

import { get } from "../api.js";

export const FIRST = 50;
const PAGE = 200;
const AT_ONCE = 8;

/** `changed()` is called after every change; `wanted` is the query of GET /v1/jobs. */
export class List {
  constructor(wanted, { changed, signal }) {
    Object.assign(this, { wanted, changed, signal, jobs: [], at: new Map(), cursor: null, loading: null, newer: 0 });
    this.unread = new Set();
    this.fresh = null;
  }

  /** Whether there may be more than what was read. */
  get hasMore() {
    return this.cursor !== null;
  }

  /** What `keep` gave, as if it had never been away. */
  restore({ jobs, cursor }) {
    this.cursor = cursor;
    this.set(jobs);
  }

  keep() {
    return { jobs: this.jobs, cursor: this.cursor };
  }

  async read() {
    const { data, next_cursor } = await this.page(FIRST);
    this.cursor = next_cursor;
    this.set(data);
  }

  /** The next page; once at a time. */
  more() {
    if (!this.hasMore) return null;
    this.loading ??= this.page(PAGE, this.cursor)
      .then(({ data, next_cursor }) => {
        this.cursor = next_cursor;
        this.set(this.jobs.concat(data.filter(({ id }) => !this.at.has(id))));
      })
      .finally(() => { this.loading = null; });
    return this.loading;
  }

  page(limit, cursor = null) {
    return get("/v1/jobs", { ...this.wanted, limit, cursor }, { signal: this.signal });
  }

  set(jobs) {
    this.jobs = jobs;
    this.at = new Map(jobs.map(({ id }, n) => [id, n]));
    this.changed();
  }

  /** A job of ours is now known to be otherwise; `false` for one that is none of ours. */
  patch(id, change) {
    const n = this.at.get(id);
    if (n === undefined) return false;
    const job = this.jobs[n];
    if (change.attempt < job.attempt) return true; // told late
    this.jobs[n] = { ...job, ...change };
    this.changed();
    return true;
  }

  /** What has ended has more to show than the event said: read it when it can be seen. */
  ended(id) {
    this.unread.add(id);
  }

  /** Something may have been missed of all that has not ended. */
  doubt() {
    for (const { id, completed_at } of this.jobs) if (!completed_at) this.unread.add(id);
  }

  /** Read some of those that were told of too shortly, or not at all, and can be `seen`. */
  async readUnread(seen) {
    const ids = [...seen].filter((id) => this.unread.has(id)).slice(0, AT_ONCE);
    await Promise.all(ids.map(async (id) => {
      const job = await get(`/v1/jobs/${id}`, null, { signal: this.signal });
      this.unread.delete(id);
      this.patch(id, job);
    }));
  }

  /** Read the newest again; they wait in `fresh` until `take`, so that nothing moves under the reader's hand. */
  async look() {
    const { data, next_cursor } = await this.page(FIRST);
    this.fresh = { data, next_cursor };
    this.newer = data.filter(({ id }) => !this.at.has(id)).length;
  }

  take() {
    if (!this.fresh) return;
    const { data, next_cursor } = this.fresh;
    this.fresh = null;
    this.newer = 0;
    const meets = next_cursor !== null && data.some(({ id }) => this.at.has(id)); // else there is a gap between the two
    const older = meets ? this.jobs.filter((job) => place(job) < place(data.at(-1))) : [];
    if (!older.length) this.cursor = next_cursor;
    this.set(data.map((job) => this.newest(job)).concat(older));
  }

  /** What the stream told since the page was asked for is newer than the page. */
  newest(job) {
    const known = this.jobs[this.at.get(job.id)];
    if (!known) return job;
    return known.updated_at > job.updated_at ? known : { ...job, preview: known.preview };
  }
}

/** Grows with the place in the order of creation: a whole second has no fraction, so its Z must not count. */
const place = ({ created_at, id }) => `${created_at.replace("Z", "")} ${id}`;
