"""The tables of the families' oracle are modules beside its tests: `from oracle_decoders import DECODERS`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "families"))
