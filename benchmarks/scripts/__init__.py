"""Scripts that a competent user would write without this library.

The documentation links to them.
"""
