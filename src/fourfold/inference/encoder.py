"""`TextEncoder`: a bidirectional model and its tokenizer, behind the methods that need no left-to-right order.

Letters: N texts, T tokens, D hidden size, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn, final

import torch
from torch import Tensor

from fourfold.errors import UserError
from fourfold.files import atomic_folder
from fourfold.inference.results import TextScore
from fourfold.inference.rows import Row, RowReader
from fourfold.inference.scoring import batches
from fourfold.models import TransformerLM
from fourfold.models.interop import Pooling, pool, write_pooling
from fourfold.models.transformer import Task
from fourfold.progress import task
from fourfold.tokenizers import Tokenizer

Text = str | tuple[str, str]
"""A text, or two that are read as one sequence."""


class Filling(NamedTuple):
    """A token that may stand in the place of a mask."""

    text: str
    id: int
    probability: float


@final
class TextEncoder:
    """A model of text in both directions (BERT and its kind, sentence encoders), ready for text.

    What it can do depends on what stands on the encoder; `capabilities` says it, and whatever else is asked for is
    refused with the method that answers.
    """

    def __init__(
        self,
        module: TransformerLM,
        tokenizer: Tokenizer,
        *,
        name: str = "encoder",
        device: torch.device | None = None,
        pooling: Pooling | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        self.module = module
        self.tokenizer = tokenizer
        self.name = name
        self.device = device or torch.device("cpu")
        self._reader = RowReader(module, self.device, tokenizer.pad_id or 0)
        self.pooling = pooling
        """None: not trained for sentences; `embed` takes the mean."""
        self.labels = tuple(labels)
        """Names of the classes, where the file gives them."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What this model can do, of embed, fill_mask, pseudo_log_likelihood, classify."""
        masks = self.module.head is not None and self.tokenizer.mask_id is not None
        found = {"embed"} | ({"fill_mask", "pseudo_log_likelihood"} if masks else set())
        return frozenset(found | ({"classify"} if self.module.task is not None else set()))

    @torch.inference_mode()
    def embed(self, texts: Sequence[Text]) -> Tensor:
        """(N, D) one fp32 vector a text, by the sentence encoder's own pooling, else the mean of the last layer.

        A text beyond the limit is cut there, as sentence encoders are used.
        """
        pooling = self.pooling or Pooling()
        rows = self._rows(texts, cut=True)
        vectors = torch.zeros(len(rows), self.module.config.hidden_size)
        with task("embed", len(rows), "texts") as work:
            for batch in batches([len(row.ids) for row in rows]):
                hidden, lengths = self._reader.hidden([rows[index] for index in batch])
                vectors[batch] = pool(pooling, hidden, lengths).cpu()
                work.advance(len(batch))
        return vectors

    @torch.inference_mode()
    def pseudo_log_likelihood(self, texts: Sequence[str]) -> list[TextScore]:
        """Each token's log-probability with that token alone masked (Salazar et al. 2020, section 2).

        Their sum is no probability of the text, since every token sees all others: compare it between texts of
        one model, never with the scores of a causal one. A text beyond the context is scored in pieces.
        """
        mask = self._mask_id("pseudo_log_likelihood")
        before, after = self._ends()
        room = self.module.context - len(before) - len(after)
        ordinary = self.tokenizer.encode_batch_ordinary(texts)
        scores = []
        with task("pseudo-log-likelihood", len(texts), "texts") as work:
            for text, ids in zip(texts, ordinary, strict=True):
                pieces = [ids[at : at + room] for at in range(0, len(ids), room)]
                rows = [Row([*before, *piece, *after]) for piece in pieces]
                spans = [range(len(before), len(before) + len(piece)) for piece in pieces]
                found = [self._reader.without_each(*item, mask) for item in zip(rows, spans, strict=True)]
                scores.append(
                    TextScore(
                        ids=ids,
                        log_probs=[value for values in found for value in values],
                        bytes=len(text.encode()),
                        characters=len(text),
                        stride=room if len(pieces) > 1 else None,
                    )
                )
                work.advance(1)
        return scores

    @torch.inference_mode()
    def fill_mask(self, text: str, k: int = 5) -> list[list[Filling]]:
        """The `k` most probable tokens for each mask in the text, the most probable first."""
        mask = self._mask_id("fill_mask")
        row = self._checked(Row(self.tokenizer.encode_masked(text)))
        places = [place for place, id in enumerate(row.ids) if id == mask]
        if not places:
            token = self.tokenizer.decode([mask], skip_special=False)
            raise UserError("there is no mask in the text", expected=f"{token} where a word is missing", got=text[:40])
        best = self._reader.log_probs(row, places).exp().topk(min(k, self.module.vocabulary_size))
        found = zip(best.values.tolist(), best.indices.tolist(), strict=True)
        return [[self._filling(*pair) for pair in zip(values, ids, strict=True)] for values, ids in found]

    @torch.inference_mode()
    def classify(self, texts: Sequence[Text]) -> list[Tensor]:
        """Probabilities a text: (C,) of its classes; (T, C) of each token's, special tokens too; (T, 2) over the
        tokens that may begin and end a span. A single class is a yes or no."""
        options = self.module.config.task
        if options is None:
            raise self._cannot("classify", "a model with a classifier: tune this one on labelled texts first")
        rows = self._rows(texts, cut=False)
        results: dict[int, Tensor] = {}
        for batch in batches([len(row.ids) for row in rows]):
            hidden, lengths = self._reader.hidden([rows[index] for index in batch])
            scores = self.module.classify(hidden, lengths).float().cpu()
            for index, found, length in zip(batch, scores, lengths.tolist(), strict=True):
                results[index] = _probabilities(options, found if options.kind == "sequence" else found[:length])
        return [results[index] for index in range(len(rows))]

    def save(self, folder: str | Path) -> None:
        """Write a folder that `fourfold.load` reads back, pooling and labels with it."""
        from fourfold.models.files import save_model

        labels = {
            "id2label": {str(number): label for number, label in enumerate(self.labels)},
            "label2id": {label: number for number, label in enumerate(self.labels)},
        }
        with atomic_folder(Path(folder)) as part:
            save_model(self.module, part, labels if self.labels else {})
            self.tokenizer.save(part)
            if self.pooling is not None:
                write_pooling(part, self.pooling, self.module.config.hidden_size)

    # ---- what only a left-to-right model does

    def score(self, texts: Sequence[str], **options: object) -> NoReturn:
        raise self._cannot("score", self._instead_of_scores())

    def log_likelihood(self, pairs: Sequence[tuple[str, str]]) -> NoReturn:
        raise self._cannot("log_likelihood", self._instead_of_scores())

    def generate(self, prompts: Sequence[str], sampling: object = None) -> NoReturn:
        raise self._cannot("generate", self._instead_of_text())

    def stream(self, prompt: str, sampling: object = None) -> NoReturn:
        raise self._cannot("generate", self._instead_of_text())

    def chat(self, messages: Sequence[object], sampling: object = None) -> NoReturn:
        raise self._cannot("chat", "a decoder such as smollm2")

    def _instead_of_scores(self) -> str:
        masks = "pseudo_log_likelihood" in self.capabilities
        return "pseudo_log_likelihood, which masks one token at a time" if masks else "a decoder such as smollm2"

    def _instead_of_text(self) -> str:
        decoder = "a decoder such as smollm2"
        return f"fill_mask for a missing word, or {decoder}" if "fill_mask" in self.capabilities else decoder

    def _cannot(self, what: str, instead: str) -> UserError:
        return UserError(f"a bidirectional encoder cannot {what}", where=self.name, advice=f"Use {instead}.")

    # ---- inside

    def _mask_id(self, what: str) -> int:
        mask = self.tokenizer.mask_id
        if self.module.head is None or mask is None:
            raise self._cannot(what, "a model with a masked-language-model head and a mask token, such as BERT's")
        return mask

    def _filling(self, probability: float, id: int) -> Filling:
        return Filling(self.tokenizer.decode([id], skip_special=False).strip(), id, probability)

    def _rows(self, texts: Sequence[Text], *, cut: bool) -> list[Row]:
        pooling = self.pooling or Pooling()
        limit = min(pooling.limit or self.module.context, self.module.context) if cut else None
        parts = [[text] if isinstance(text, str) else list(text) for text in texts]
        if pooling.lowercase:
            parts = [[part.lower() for part in text] for text in parts]
        alone = iter(self.tokenizer.encode_batch([text[0] for text in parts if len(text) == 1], limit=limit))
        rows = (Row(next(alone)) if len(text) == 1 else self._pair(text, limit) for text in parts)
        return [self._checked(row) for row in rows]

    def _pair(self, texts: list[str], limit: int | None) -> Row:
        first, second = texts
        return Row(*self.tokenizer.encode_pair(first, second, limit=limit))

    def _checked(self, row: Row) -> Row:
        if len(row.ids) > self.module.context:
            raise UserError(
                "the text does not fit the model's context",
                where=self.name, expected=f"at most {self.module.context} tokens", got=len(row.ids),
                advice="Cut it into pieces.",
            )  # fmt: skip
        return row

    def _ends(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text."""
        ids, inner = self.tokenizer.encode("a"), self.tokenizer.encode_ordinary("a")
        start = next(at for at in range(len(ids)) if ids[at : at + len(inner)] == inner)
        return ids[:start], ids[start + len(inner) :]


def _probabilities(options: Task, scores: Tensor) -> Tensor:
    if options.classes == 1:
        return scores.sigmoid()
    return scores.softmax(0 if options.kind == "span" else -1)
