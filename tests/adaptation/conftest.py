"""A tiny llama with byte vocabulary and the byte tokenizer."""

from collections.abc import Callable

import pytest
import torch

from fourfold.models import TransformerLM, build_model
from fourfold.tokenizers import Tokenizer, byte_tokenizer

CONFIG = {"family": "llama", "layers": 2, "hidden_size": 32, "heads": 4, "kv_heads": 2, "context": 256}


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return byte_tokenizer()


@pytest.fixture
def llama(tokenizer: Tokenizer) -> Callable[..., TransformerLM]:
    """Makes tiny models; equal seeds make equal models."""

    def make(seed: int = 0) -> TransformerLM:
        model = build_model(CONFIG, tokenizer.vocabulary_size, seed)
        assert isinstance(model, TransformerLM)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter *= 5  # an untrained model is too flat to show differences
        return model

    return make
