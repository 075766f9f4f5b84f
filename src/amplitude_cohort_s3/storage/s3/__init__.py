"""Amazon S3, and stores that speak its protocol."""

from .storage import S3Storage

__all__ = [
    "S3Storage",
]
