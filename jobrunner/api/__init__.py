"""The HTTP server: takes jobs in, shows them, serves their files. Every error is a problem document (RFC 9457)."""

from jobrunner.api.app import make_app, serving

__all__ = ["make_app", "serving"]
