"""Every `code` word that a caller can meet: in a problem document, and in the `error` of a job. The docs list them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """`statuses`: the HTTP statuses that come with it; none where it stands on a job."""

    word: str
    statuses: tuple[int, ...]
    meaning: str
    remedy: str


def _answered(word: str, statuses: int | tuple[int, ...], meaning: str, remedy: str) -> Code:
    return Code(word, (statuses,) if isinstance(statuses, int) else statuses, meaning, remedy)


def _kept(word: str, meaning: str, remedy: str) -> Code:
    return Code(word, (), meaning, remedy)


_LATER = "Send it again after `Retry-After` seconds."
_NEW_URL = "Ask for a new one: POST /v1/artifacts/{id}/url."
_SUBMIT_AGAIN = "Correct the params, and submit a new job."
_RETRY = "Retry the job."
_RETRY_LATER = "It is tried again by itself while retries are left; after that, retry the job."
_OPERATOR = "Tell who runs the server: the message names the setting."

PROBLEMS: Final[tuple[Code, ...]] = (
    _answered("bad_request", 400, "This is no HTTP that can be read.", "Send what RFC 9112 allows."),
    _answered(
        "request_invalid",
        400,
        "The body is no strict JSON object: broken, not UTF-8, ambiguous, too deep, or a number beyond 64 bits.",
        "Send one JSON object in UTF-8; `detail` names the place.",
    ),
    _answered(
        "unauthorized",
        401,
        "The key is missing or wrong; or a provider's signature is.",
        "Send `Authorization: Bearer KEY`.",
    ),
    _answered(
        "forbidden",
        403,
        "The Host or Origin is a stranger's, or the key is bound to another user than you name.",
        "Ask for the server by a name of its own, from its own pages; leave `user_id` to the key.",
    ),
    _answered("scope_missing", 403, "The key lacks the scope that this route needs.", "Use a key that has it."),
    _answered(
        "token_missing",
        403,
        "A page that is signed in by a cookie did not send its session's token.",
        "Send it as `X-Jobrunner-Token`: GET /v1/session tells it.",
    ),
    _answered("signature_invalid", 403, "The URL was cut or changed, or its secret is no more.", _NEW_URL),
    _answered("url_expired", 403, "The URL was good for a time, which is over.", _NEW_URL),
    _answered("not_found", 404, "There is nothing here that you may see.", "Check the id; a key sees its user's only."),
    _answered("preview_not_found", 404, "The job shows no picture of its work now.", "Its events tell when it does."),
    _answered("unknown_task", 404, "No task has this name.", "GET /v1/tasks lists them; the server must import yours."),
    _answered("method_not_allowed", 405, "The path does not take this method.", "Use one that `Allow` lists."),
    _answered("request_timeout", 408, "The body did not arrive in time.", "Send it faster, or in smaller pieces."),
    _answered(
        "conflict",
        409,
        "The job's state does not allow this.",
        "GET the job: `detail` and its `status` say what it allows.",
    ),
    _answered("signed_urls_off", 409, "The server signs no URLs.", "Have its operator set `http.url_secret`."),
    _answered("body_too_large", 413, "The body is larger than the server takes.", "Send less; upload files first."),
    _answered(
        "unsupported_media_type",
        415,
        "The Content-Type or Content-Encoding is not taken.",
        "Send application/json, uncompressed.",
    ),
    _answered(
        "requested_range_not_satisfiable",
        416,
        "The file ends before the range begins.",
        "Ask for bytes below the length that `Content-Range` tells.",
    ),
    _answered("expectation_failed", 417, "The Expect header asks for what is not done.", "Leave the header out."),
    _answered(
        "invalid_request",
        422,
        "A parameter or field is unknown, missing or out of bounds.",
        "`errors` lists each by its path; correct them.",
    ),
    _answered(
        "invalid_params",
        422,
        "The params do not fit the task's model.",
        "`errors` lists each by its path; GET /v1/tasks has the model.",
    ),
    _answered(
        "idempotency_key_reused",
        422,
        "This Idempotency-Key came before with another request.",
        "Send the first request again, or a new key.",
    ),
    _answered("url_not_allowed", 422, "The URL leads to a place that is never asked.", "Name a public http(s) URL."),
    _answered(
        "media_invalid",
        (415, 422),
        "The file is no picture, clip or sound of a kind that is kept (415), or is damaged or too big (422).",
        "Send the file itself as the body, whole, within the limits that `detail` names.",
    ),
    _answered("too_many_requests", 429, "The key asks more often than it may.", _LATER),
    _answered("too_many_jobs", 429, "The key has as many jobs under way as it may have.", _LATER),
    _answered("limit_reached", 429, "The key has had what it may have for now.", _LATER),
    _answered(
        "internal_error",
        500,
        "Something broke on our side.",
        "Tell who runs the server, with the X-Request-Id: the log says what under it.",
    ),
    _answered(
        "unavailable",
        503,
        "Postgres, or another server that is needed, is away; or more jobs come in than it can write down.",
        "Send it again after `Retry-After` seconds.",
    ),
)

OF_JOBS: Final[tuple[Code, ...]] = (
    _kept("answer_invalid", "The model's words are not the JSON that was asked for.", _RETRY_LATER),
    _kept(
        "artifact_expired", "The file is gone at the address that was given for it.", "Name it anew, and submit again."
    ),
    _kept("artifact_not_found", "The params name an artifact that the job's user has not.", _SUBMIT_AGAIN),
    _kept("artifact_too_large", "A file is larger than is taken.", "Make it smaller, and submit again."),
    _kept("artifact_unreachable", "A file's URL answers no file.", _SUBMIT_AGAIN),
    _kept("artifact_damaged", "A downloaded file is not what was kept: cut, or changed.", "Download it again."),
    _kept("attempt_failed", "The attempt failed.", "The message says why."),
    _kept("cancelled", "Somebody cancelled the job.", "Retry it, if it shall run after all."),
    _kept("content_policy", "The provider refuses what is asked for, or what came of it.", "Ask for something else."),
    _kept("contract_missing", "The settings name no contract to mint from.", _OPERATOR),
    _kept("ethereum_refused", "The node refuses the transaction for now.", _RETRY_LATER),
    _kept(
        "fee_too_high", "Gas costs more than the settings allow.", "It waits for a lower fee while retries are left."
    ),
    _kept("ffmpeg_failed", "ffmpeg cannot read a file, or what it made is too large.", _SUBMIT_AGAIN),
    _kept("ffmpeg_killed", "ffmpeg was stopped: memory, time or a shutdown.", _RETRY_LATER),
    _kept("ffmpeg_missing", "The worker has no ffmpeg.", "Install it on the worker, and retry the job."),
    _kept("gas_refused", "The node refuses the gas that the transaction asks for.", _OPERATOR),
    _kept("insufficient_funds", "The signing account cannot pay.", "Fill the account, and retry the job."),
    _kept("invalid_input", "The provider, or we, cannot take a file or value of the params.", _SUBMIT_AGAIN),
    _kept("invalid_params", "The params do not fit the task's model as the worker knows it.", _SUBMIT_AGAIN),
    _kept("job_failed", "The job failed without a word of its own.", "Look at the worker's log."),
    _kept("job_lost", "The worker no longer held the job.", "Another has it; nothing is to be done."),
    _kept("media_invalid", "A file is damaged, out of bounds, or of another kind than is needed.", _SUBMIT_AGAIN),
    _kept("media_unexamined", "The machine could not look into a file.", _RETRY_LATER),
    _kept("no_route", "No provider is set for this kind of work.", _OPERATOR),
    _kept("no_token", "The transaction was mined and made no token.", "Look at the contract before you retry."),
    _kept("nonce_taken", "Another program sends from the signing account.", "Give jobrunner an account of its own."),
    _kept("permanent", "Trying again would give the same answer.", "The message says what to change."),
    _kept("provider_aborted", "The provider gave the work up before it began.", _RETRY_LATER),
    _kept("provider_auth", "The provider refuses our key.", _OPERATOR),
    _kept("provider_cancelled", "The work was cancelled at the provider.", _RETRY),
    _kept(
        "provider_failed", "The provider could not do it.", "The message has its words; change the params, or retry."
    ),
    _kept("provider_key_missing", "The settings hold no key for the provider.", _OPERATOR),
    _kept("provider_no_output", "The provider says it is done, and gives nothing.", _RETRY),
    _kept("provider_not_found", "The provider has no such model or address.", _OPERATOR),
    _kept("provider_quota", "The account at the provider is empty or at its limit.", "Fill it up, and retry the job."),
    _kept("provider_redirects", "The provider's address leads elsewhere.", _OPERATOR),
    _kept("provider_truncated", "The provider's answer broke off.", "Ask for less, and submit again."),
    _kept("put_off", "It is not the job's turn.", "It waits by itself."),
    _kept("rate_limited", "The provider says: later.", "It waits by itself, and counts no failure."),
    _kept("result_not_storable", "The result holds what Postgres cannot keep, e.g. a NUL.", "Correct the task."),
    _kept("retried_by_hand", "Not a failure: since then a person's retry counts anew.", "Nothing."),
    _kept("retry", "The task asked to run again.", _RETRY_LATER),
    _kept("reverted", "The contract refused the transaction.", "Look at the contract before you retry."),
    _kept("signed_elsewhere", "It was signed for another chain or key.", "Look there before you submit it anew."),
    _kept("soft_timeout", "The task passed its soft timeout.", "Raise it, or retry if the provider was slow."),
    _kept("step_name_reused", "The task uses a step's name twice.", "Give each step of the task its own name."),
    _kept(
        "submit_outcome_unknown",
        "A paid request was sent and its answer lost: it may run, and be billed.",
        "Look at the provider's own list. A retry buys again.",
    ),
    _kept("task_error", "The task's own code broke.", "Correct the task, and retry the job."),
    _kept("timeout", "The task passed its hard timeout.", "Raise it, or retry if the provider was slow."),
    _kept("transient", "It may go well another time.", _RETRY_LATER),
    _kept("transaction_rejected", "The node refuses the transaction for good.", "The message has the node's words."),
    _kept("unavailable", "A server that the worker needs was away.", _RETRY_LATER),
    _kept("unknown_provider", "The settings name a provider that there is not.", _OPERATOR),
    _kept("unknown_task", "The worker knows no task of this name.", "Let it import the task's module; retry the job."),
    _kept("unsupported", "The provider cannot do this.", _SUBMIT_AGAIN),
    _kept("unsupported_input", "The provider does not take this value; the message names the field.", _SUBMIT_AGAIN),
    _kept("url_not_allowed", "A URL leads to a place that is never asked.", "Name a public URL, and submit again."),
    _kept("webhook_gone", "A webhook answered 410: nothing more is sent there.", "Replay, once it is back."),
    _kept("webhook_refused", "A webhook did not answer 2xx.", "It is told again for three days."),
    _kept("webhooks_off", "The settings hold no secret to sign webhooks with.", _OPERATOR),
    _kept("worker_crashed", "Three workers died under the job.", "Look at their logs before you retry."),
    _kept("worker_lost", "A worker died under the job.", "Another takes it up; nothing is to be done."),
    _kept("wrong_chain", "The Ethereum node is on another chain than the settings say.", _OPERATOR),
)
