"""Where the current members come from."""

from .files import MemberFile

__all__ = ["MemberFile"]
