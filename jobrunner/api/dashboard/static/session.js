// Who is signed in. The key itself stays nowhere in the page: the server keeps it in a cookie no script can read.

const NOBODY = { caller: null, scopes: [], user_id: null, token: null, expires_at: null, keys: true };

let known = NOBODY;

export const session = {
  get caller() { return known.caller; },
  get scopes() { return known.scopes; },
  /** The user whose jobs are all that this caller sees; null: everybody's. */
  get userId() { return known.user_id; },
  get expiresAt() { return known.expires_at; },
  /** Whether the server asks for keys at all. */
  get keys() { return known.keys; },
  get token() { return known.token; },
  may: (scope) => known.scopes.includes(scope) || known.scopes.includes("admin"),
};

/** Emits "change" when somebody signed in, and when nobody is any more. */
export const changes = new EventTarget();

/** `answer`: what /v1/session says. */
export function begin(answer) {
  known = answer;
  changes.dispatchEvent(new Event("change"));
}

export function end() {
  if (known.caller !== null) begin({ ...NOBODY, keys: known.keys });
}
