"""What all endpoints of fal's protocol share: its error body and the key."""

from typing import Any, Final

from aiohttp import web

from jobrunner.sandbox.shop import Refusal, answering

API_KEY: Final = "test-key"
JWKS: Final = "/rest/.well-known/jwks.json"
OPEN: Final = ("/fal/cdn/", "/fal/files/", f"/fal{JWKS}")


class Problem(Refusal):
    """An answer that is an error: `detail` is a text, or the list of a model's errors."""

    def __init__(self, status: int, detail: Any, *, type: str | None = None, retryable: bool | None = None) -> None:
        super().__init__(status, {"detail": detail} | ({} if type is None else {"error_type": type}))
        self.type, self.retryable = type, retryable

    def response(self) -> web.Response:
        response = super().response()
        if self.type is not None:
            response.headers["X-Fal-Error-Type"] = self.type
        if self.retryable is not None:
            response.headers["X-Fal-Retryable"] = str(self.retryable).lower()
        return response


REFUSALS: Final = {
    "429": Problem(429, "Too many requests: the limit of concurrent requests is reached."),
    "quota": Problem(403, "User is locked. Reason: Exhausted balance. Top up your balance."),
    "503": Problem(503, "Service Unavailable"),
    "500": Problem(500, "Internal Server Error"),
}


def _authenticate(request: web.Request) -> None:
    """Files are open to whoever knows their URL; uploads ask for a token of their own."""
    if not request.path.startswith(OPEN) and request.headers.get("Authorization") != f"Key {API_KEY}":
        raise Problem(401, "Cannot access application: invalid API key")


answer_problems: Final = answering(_authenticate, Problem)
