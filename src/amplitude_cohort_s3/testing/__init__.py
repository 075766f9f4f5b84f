"""Tools to test your own storage, diff engine or pipeline.

They need the extra ``testing``: pytest and hypothesis.
"""

from . import _assert_rewriting as _assert_rewriting
