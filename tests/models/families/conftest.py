"""The oracle's tables and helpers are modules beside the tests: `from oracle import Case`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
