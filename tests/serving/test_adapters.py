"""Adapters as model names: each request its own, in one batch, equal to the model that has only that one."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from fourfold.errors import UserError  # noqa: E402
from fourfold.inference import LanguageModel, Sampling  # noqa: E402
from fourfold.models import LowRankDelta, TransformerLM  # noqa: E402
from fourfold.models.files import attach_adapter, save_adapter  # noqa: E402
from fourfold.serving import Limits, Loaded  # noqa: E402
from tests.serving.doubles import app_of, served, small  # noqa: E402


def adapted(model: LanguageModel, part: str, seed: int, folder: Path) -> Path:
    """An adapter of one kind of layer, so that the two of a test act in different places."""
    module = copy.deepcopy(model.module)
    assert isinstance(module, TransformerLM)
    generator = torch.Generator().manual_seed(seed)
    for layer in module.stack.layers:
        linear = getattr(layer.attention, part)
        delta = LowRankDelta(linear.in_size, linear.out_size, 2, 1.0)
        torch.nn.init.normal_(delta.down, std=2.0, generator=generator)
        torch.nn.init.normal_(delta.up, std=2.0, generator=generator)
        linear.deltas.append(delta)
    folder.mkdir()
    save_adapter(module, folder, "small")
    return folder


def test_each_name_answers_with_its_adapter_in_one_batch(tmp_path: Path) -> None:
    model = small("llama")
    folders = {"a": adapted(model, "output", 1, tmp_path / "a"), "b": adapted(model, "value", 2, tmp_path / "b")}
    choice = Sampling(max_tokens=12, temperature=0)
    prompt, wanted = "the cat sat", {}
    for name, folder in {"llama": None, **folders}.items():
        alone = small("llama")
        if folder is not None:
            attach_adapter(alone.module, folder)  # type: ignore[arg-type]
        wanted[name] = alone.generate([prompt], choice)[0].text
    assert len(set(wanted.values())) == 3

    app = app_of(model, adapters=folders, limits=Limits(batch_invariant=True))
    with served(app) as address, httpx.Client(base_url=address) as client, ThreadPoolExecutor(9) as pool:
        assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["llama", "a", "b"]

        def ask(name: str) -> Any:
            body = {"model": name, "prompt": prompt, "max_tokens": 12, "temperature": 0}
            return client.post("/v1/completions", json=body).json()

        names = ["llama", "a", "b"] * 3
        for name, answer in zip(names, pool.map(ask, names), strict=True):
            assert answer["model"] == name
            assert answer["choices"][0]["text"] == wanted[name]


def test_names_and_folders_are_checked(tmp_path: Path) -> None:
    folder = adapted(small("llama"), "output", 1, tmp_path / "a")
    for name in ("../a", "", "a b", "llama"):
        with pytest.raises(UserError):
            Loaded(small("llama"), None, {name: folder})
    with pytest.raises(UserError, match="no adapter here"):
        Loaded(small("llama"), None, {"a": tmp_path})
