"""The limits of S3 for uploads in parts.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
"""

MIN_PART_BYTES = 5 << 20
"""The smallest size of a part, except for the last part."""

MAX_PART_BYTES = 5 << 30
"""The largest size of a part."""

MAX_PARTS = 10_000
"""The largest number of parts of an object."""
