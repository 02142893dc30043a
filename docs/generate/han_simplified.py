"""Write the table by which search folds traditional Han characters to simplified ones.

Its pairs are OpenCC's `TSCharacters` (Apache-2.0), one simplified character for each traditional one, the first where
OpenCC gives several. Run it with `opencc-python-reimplemented` installed:

    python docs/generate/han_simplified.py
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

TABLE = Path(__file__).resolve().parents[2] / "src" / "fourfold" / "utilization" / "retrieval" / "han_simplified.txt"
HEAD = """# Traditional Han characters, and under them what each is in simplified script.
# Made by docs/generate/han_simplified.py from OpenCC's TSCharacters (https://github.com/BYVoid/OpenCC, Apache-2.0).
"""


def main() -> None:
    found = find_spec("opencc")
    if found is None or found.origin is None:
        raise SystemExit("pip install opencc-python-reimplemented")
    lines = (Path(found.origin).parent / "dictionary" / "TSCharacters.txt").read_text("utf-8").splitlines()
    pairs = sorted((old, new.split()[0]) for old, new in (line.split("\t") for line in lines) if old != new.split()[0])
    TABLE.write_text(HEAD + "".join(old for old, _ in pairs) + "\n" + "".join(new for _, new in pairs) + "\n", "utf-8")
    print(f"{len(pairs)} pairs in {TABLE.name}")


if __name__ == "__main__":
    main()
