"""Keys: shown once, kept as hashes, compared in constant time, in no message."""

from __future__ import annotations

import hmac
import stat
from pathlib import Path

import pytest

pytest.importorskip("fastapi")

from fourfold.errors import UserError
from fourfold.serving import Keys, add_key, digest, read_keys


def test_a_key_opens_under_its_name_and_stands_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    first, second = add_key(file, "alice"), add_key(file, "bob")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first not in file.read_text()
    keys = read_keys(file)
    assert (keys.holder(first), keys.holder(second), keys.holder("ff-guess"), keys.holder("")) == (
        "alice", "bob", None, None,
    )  # fmt: skip
    assert first != second
    assert len(first) > 40


def test_every_hash_is_compared_by_the_constant_time_function(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    whole = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: seen.append((len(a), len(b))) or whole(a, b))
    assert Keys({"a": digest("x"), "b": digest("y"), "c": digest("z")}).holder("x") == "a"
    assert seen == [(64, 64)] * 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no key"), ("alice ff-open-secret\n", "not a line"), (f"a sha256:{'0' * 64}\n" * 2, "twice")],
)
def test_a_damaged_file_is_refused_without_showing_it(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(text)
    with pytest.raises(UserError, match=reason) as caught:
        read_keys(file)
    assert "ff-open-secret" not in str(caught.value)


def test_names_are_checked_and_taken_once(tmp_path: Path) -> None:
    add_key(tmp_path / "keys.txt", "alice")
    for name in ("alice", "", "a b", "../x"):
        with pytest.raises(UserError):
            add_key(tmp_path / "keys.txt", name)
