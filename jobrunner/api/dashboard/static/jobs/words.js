// What several of the jobs' views call the same thing by.

/** The end of an id: the beginning is the time, and the same for all that came together. */
export const tail = (id) => `…${id.slice(-8)}`;

/** 1 -> "1 job", 2 -> "2 jobs". */
export const jobs = (n) => `${n.toLocaleString()} ${n === 1 ? "job" : "jobs"}`;
