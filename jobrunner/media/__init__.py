"""What a file really is, told by its bytes and never by its name or a server's word."""

from jobrunner.media.examining import inspected, media_info
from jobrunner.media.probe import MediaInfo, sniff

__all__ = ["MediaInfo", "inspected", "media_info", "sniff"]
