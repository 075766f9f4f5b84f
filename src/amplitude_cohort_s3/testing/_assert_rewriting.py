"""Lets pytest show the values of a failing assertion in this folder, as in a test module.

It must be imported before the other modules of the folder. Some of them are also used without
pytest.
"""

import sys
from pathlib import Path

if "pytest" in sys.modules:
    _names = [path.stem for path in Path(__file__).parent.glob("[a-z]*.py")]
    sys.modules["pytest"].register_assert_rewrite(*(f"{__package__}.{name}" for name in _names))
