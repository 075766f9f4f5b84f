"""The memory of the process."""

_KEPT_BYTES = 4 << 20
"""The largest block of memory that is not returned to the system as soon as it is freed."""


def keep_freed_memory() -> None:
    """Have the C library keep freed memory for the next allocation.

    The diff allocates and frees many blocks of about a MiB. By default, glibc returns each of
    them to the system, which then has to clear new pages: a fifth of the CPU time
    of a diff with the kernel. Its limits grow when a larger block is freed. This one is never
    written, so it costs nothing.
    """
    bytes(_KEPT_BYTES)
