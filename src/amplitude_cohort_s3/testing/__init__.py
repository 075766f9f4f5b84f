"""Tools to test your own storage, diff engine or pipeline.

Most of them need the extra ``testing``, which installs pytest and hypothesis.
"""

from . import _assert_rewriting as _assert_rewriting
