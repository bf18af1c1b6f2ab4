"""What a file really is, told by its bytes and never by its name or a server's word."""

from jobrunner.media.probe import MediaInfo, sniff

__all__ = ["MediaInfo", "sniff"]
