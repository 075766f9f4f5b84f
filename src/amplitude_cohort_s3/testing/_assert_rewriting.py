"""The registration of this folder with pytest, which then shows the values of failing assertions.

This module must be imported before the other modules of the folder. It does nothing without
pytest, because some of them are also used without it.
"""

import sys
from pathlib import Path

if "pytest" in sys.modules:
    _names = [path.stem for path in Path(__file__).parent.glob("[a-z]*.py")]
    sys.modules["pytest"].register_assert_rewrite(*(f"{__package__}.{name}" for name in _names))
