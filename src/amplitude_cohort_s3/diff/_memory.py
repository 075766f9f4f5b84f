"""The memory of the process."""

from functools import cache

_KEPT_BYTES = 4 << 20
"""The size of the largest block of memory that the process keeps when the block is freed."""


@cache  # A second block would come from kept memory, and clearing it takes up to a millisecond.
def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next allocation.

    The diff allocates and frees many blocks of about a MiB. By default, glibc returns each of
    them to the system, which must then clear new pages. This takes a fifth of the CPU time of a
    diff with the kernel. When a block is freed, glibc raises its limit to the size of the block.
    The block that is allocated here for this purpose is never written, so it costs nothing.
    """
    bytes(_KEPT_BYTES)
