"""What a file really is, told by its bytes and never by its name or a server's word."""

from jobrunner.media.probe import MediaInfo, media_info, sniff

__all__ = ["MediaInfo", "media_info", "sniff"]
