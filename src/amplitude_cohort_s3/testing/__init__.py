"""Tools to test your own storage, diff engine or pipeline.

They need the extra ``testing``: pytest and hypothesis.
"""

import pkgutil
import sys

# A failing assertion of a contract then shows its values, as one in a test module does. Some
# modules of this folder are also used without pytest.
if "pytest" in sys.modules:
    _names = [module.name for module in pkgutil.iter_modules(__path__, f"{__name__}.")]
    sys.modules["pytest"].register_assert_rewrite(*_names)
