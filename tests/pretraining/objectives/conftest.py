"""A small vocabulary with every reserved token, and rows over it."""

from collections.abc import Callable

import numpy as np
import pytest

from fourfold.pretraining.objectives import RESERVED, Marks, Row
from fourfold.tokenizers import END_OF_TEXT, Tokenizer, train_byte_bpe

TEXT = (
    "Thank you for inviting me to your party last week. It was a pleasure, and the (small) garden was lovely! "
    "What shall we do next? def compute_total(values): return sum(values)\n"
)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    special = [END_OF_TEXT, *(name for names in RESERVED.values() for name in names)]
    return train_byte_bpe([TEXT] * 3, 256 + len(special) + 90, special_tokens=special)


@pytest.fixture(scope="session")
def marks(tokenizer: Tokenizer) -> Marks:
    return Marks.of(tokenizer, RESERVED)


@pytest.fixture(scope="session")
def text_ids(tokenizer: Tokenizer) -> np.ndarray:
    return np.array(tokenizer.encode_ordinary(TEXT))


@pytest.fixture(scope="session")
def row(marks: Marks) -> Callable[..., Row]:
    """Rows of random ordinary tokens; what is elsewhere is one token repeated."""

    def make(length: int, seed: int = 0) -> Row:
        tokens = np.random.default_rng(seed).choice(marks.ordinary, length)
        return Row(tokens=tokens, elsewhere=lambda random: np.full(1000, marks.ordinary[7]))

    return make
