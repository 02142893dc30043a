"""Lines scored by arrays are the texts scored one by one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourfold.inference import LanguageModel, looking_up, score_lines
from fourfold.models.ngram import train_word_ngram

TEXT = "the cat sat\nthe dog sat on the cat\na dog ran\n\nthe cat ran on\n"


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_text(TEXT, "utf-8")
    module, tokenizer = train_word_ngram([path], 3)
    return LanguageModel(module, tokenizer, text_end_id=tokenizer.eos_id)


WORDS = st.lists(st.sampled_from(["the", "cat", "dog", "sat", "ran", "unseen", "猫", "</s>"]), max_size=9)


@given(lines=st.lists(WORDS.map(" ".join), min_size=1, max_size=40), newline=st.booleans(), size=st.integers(1, 60))
def test_lines_are_scored_as_texts(lm, lines, newline, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(looking_up, "LINE_BYTES", size)
        text = "\n".join(lines) + "\n" * (newline or not lines[-1])
        found = score_lines(lm.module, lm.tokenizer, text.encode(), torch.device("cpu"))
    alone = [lm.score([line])[0] for line in lines]
    assert found.tokens.tolist() == [len(score.ids) for score in alone]
    np.testing.assert_allclose(found.totals, [score.total for score in alone], rtol=1e-6)


def test_no_lines(lm):
    assert score_lines(lm.module, lm.tokenizer, b"", torch.device("cpu")).totals.tolist() == []
