"""Tables of names read in both directions: our modules against a file's, numbers as {i} and {e}."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

KINDS = ("weight", "bias")


class Pattern:
    """A name with numbers left open: {i} the layer, {e} the expert."""

    def __init__(self, text: str) -> None:
        self.text = text
        named = re.sub(r"\\{([ie])\\}", r"(?P<\1>\\d+)", re.escape(text))
        self._expression = re.compile(named)

    @property
    def shape(self) -> str:
        """The name with every number taken out: what fits the pattern has the same shape."""
        return _shape(self.text)

    def numbers(self, name: str) -> dict[str, str] | None:
        """The numbers in `name`, or None when it does not fit."""
        match = self._expression.fullmatch(name)
        return None if match is None else match.groupdict()


class Names:
    """A table of names read in both directions.

    An entry names a module, whose `.weight` and `.bias` follow, or one parameter in full.
    """

    def __init__(self, theirs: Mapping[str, str]) -> None:
        self._theirs = _Direction(theirs.items())
        self._ours = _Direction((theirs, ours) for ours, theirs in theirs.items())
        assert len(set(theirs.values())) == len(theirs), "two modules share a name"

    def theirs(self, name: str) -> str | None:
        """The file's name of our parameter or module, or None when the table has none."""
        return self._theirs.translate(name)

    def ours(self, name: str) -> str | None:
        """Our name of the file's tensor or module, or None when the table has none."""
        return self._ours.translate(name)


class _Direction:
    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._entries: dict[str, list[tuple[Pattern, str]]] = {}
        for source, target in entries:
            pattern = Pattern(source)
            self._entries.setdefault(pattern.shape, []).append((pattern, target))

    def translate(self, name: str) -> str | None:
        whole = self._find(name)
        if whole is not None:
            return whole
        module, _, kind = name.rpartition(".")
        found = self._find(module) if kind in KINDS else None
        return None if found is None else f"{found}.{kind}"

    def _find(self, name: str) -> str | None:
        for pattern, target in self._entries.get(_shape(name), ()):
            numbers = pattern.numbers(name)
            if numbers is not None:
                return target.format(**numbers)
        return None


def _shape(name: str) -> str:
    return re.sub(r"(?:^|(?<=\.))(?:\d+|\{[ie]\})(?=\.|$)", "#", name)
