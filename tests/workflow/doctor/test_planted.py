"""Every kind of finding, planted in something sound on disk, is found, and nothing else is alarming."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fourfold.models.files import save_model
from fourfold.models.ngram import train_ngram
from fourfold.pretraining.planning import PROCESS_BYTES
from fourfold.workflow.doctor import Report, examine, fit, known_kinds
from tests.workflow.doctor import planted_data, planted_folder, planted_other
from tests.workflow.doctor.planting import DEFECTS, Defect
from tests.workflow.doctor.sound import (
    CHATS,
    EXAM,
    PAIRS,
    TEXTS,
    edit,
    make_adapter,
    make_arpa,
    make_folder,
    make_gguf,
    tokenizer,
    write_lines,
)

PLANTED_IN = (planted_folder, planted_other, planted_data)
"""Imported to fill the register."""
NOT_PLANTED = {"check-failed", "memory-reading", "memory-tuning"}
"""The first is our own failure; the others have a test of their own below."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind, sound; never changed."""
    folder = tmp_path_factory.mktemp("sound")
    base = make_folder(folder / "folder")
    gpt2 = make_folder(folder / "gpt2")
    shutil.rmtree(gpt2)
    make_gpt2(gpt2)
    make_adapter(folder / "adapter", base)
    make_gguf(folder / "gguf.gguf")
    make_arpa(folder / "arpa.arpa")
    make_ngram(folder / "ngram")
    write_lines(folder / "chats.jsonl", CHATS)
    write_lines(folder / "pairs.jsonl", PAIRS)
    return folder


def make_gpt2(folder: Path) -> None:
    from fourfold.inference import LanguageModel
    from fourfold.models import build_model

    tokens = tokenizer()
    shape = {"family": "gpt2", "layers": 2, "hidden_size": 32, "heads": 2, "context": 64}
    LanguageModel(build_model(shape, tokens.vocabulary_size, seed=0), tokens).save(folder)
    edit(folder / "tokenizer_config.json", lambda settings: settings.update(pad_token="<|im_end|>"))


def make_ngram(folder: Path) -> None:
    tokens = tokenizer()
    folder.mkdir()
    texts = [tokens.encode(text) for text in TEXTS]
    counted = train_ngram(
        texts, order=2, vocabulary_size=tokens.vocabulary_size, smoothing="witten-bell", bos_id=tokens.bos_id
    )
    save_model(counted, folder)
    tokens.save(folder)


def base_model(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", lambda settings: settings.pop("chat_template") and None)


Prepare = Callable[[Path], object]
COMPANIONS: dict[str, Prepare] = {
    "chats with a base model": base_model,
    "chats with a strict model": planted_folder.system_message_refused,
    "chats with an English model": planted_folder.vocabulary_learned_from_english,
    "chats with a word model": planted_folder.tokenizer_of_english_words,
}


def look(defect: Defect, sound: Path, place: Path) -> Report:
    """Copy, spoil, examine."""
    kind = defect.model
    if not kind.startswith(("chats", "pairs")):
        name = {"gguf": "gguf.gguf", "arpa": "arpa.arpa"}.get(kind, kind)
        copy = place / name
        (shutil.copytree if (sound / name).is_dir() else shutil.copyfile)(sound / name, copy)
        defect.spoil(copy)
        return examine(str(copy))
    shutil.copytree(sound / "folder", place / "folder")
    if kind in COMPANIONS:
        COMPANIONS[kind](place / "folder")
    file = f"{kind.partition(' ')[0]}.jsonl"
    shutil.copyfile(sound / file, place / file)
    if kind == "chats with a word model":
        write_lines(place / file, [{"messages": [{"role": "user", "content": "你好吗？"}, *CHATS[0]["messages"][1:]]}])
    write_lines(place / "tests.jsonl", [{"question": EXAM}])
    changed = defect.spoil(place / file)
    data = changed if isinstance(changed, Path) else place / file
    return examine(str(place / "folder"), data, against=(place / "tests.jsonl",))


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found_and_nothing_else_alarms(name: str, sound: Path, tmp_path: Path) -> None:
    defect = DEFECTS[name]
    report = look(defect, sound, tmp_path)
    found = {finding.kind.code: finding for finding in report.findings}
    assert defect.code in found, [(code, finding.sentence.en) for code, finding in found.items()]
    alarming = {code for code, finding in found.items() if finding.kind.severity != "note"}
    more = alarming - {defect.code, *defect.also}
    assert not more, {code: (found[code].where, found[code].sentence.en) for code in more}
    finding = found[defect.code]
    assert finding.where, "it says where"
    for words in (finding.sentence, finding.fix):
        assert words.en, "it speaks"
        assert words.zh != words.en, "in both languages"
        assert "{" not in (words.en + words.zh).replace('{"', "").replace("{%", ""), "every place is filled"


def test_every_kind_of_finding_is_planted() -> None:
    planted = {defect.code for defect in DEFECTS.values()}
    known = [kind.code for kind in known_kinds()]
    assert len(known) == len(set(known))
    assert planted == set(known) - NOT_PLANTED


def test_a_machine_too_small_is_told(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for memory, code in ((100_000_000, "memory-reading"), (PROCESS_BYTES + 2_000_000, "memory-tuning")):
        monkeypatch.setattr(fit, "machine_memory", lambda memory=memory: memory)
        report = examine(str(sound / "folder"))
        assert [finding.kind.code for finding in report.findings] == [code]
