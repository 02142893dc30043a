"""`fourfold ask`: questions to a folder of documents."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.answers import answer_record, show_answer, show_sources, words
from fourfold.cli.console import command_line, finish, resume_command, say, show_json, show_table
from fourfold.cli.options import USE, Json, MaxTokens, Seed, load_model, sampling
from fourfold.errors import UserError, unknown_name

if TYPE_CHECKING:
    from fourfold.inference import ChatModel, Sampling
    from fourfold.utilization.answering import Answer, Outgoing
    from fourfold.utilization.retrieval import DocumentIndex

commands = typer.Typer()
NO_MODEL = "none"
METHODS = ("bm25", "dense", "hybrid")
Wording = Annotated[
    str, typer.Option(help="Words the answer (smollm2, a folder, openai:model@base_url, …); none: quotes alone.")
]
Passages = Annotated[int, typer.Option("--k", min=1, max=100, help="Passages that are looked at.")]
Method = Annotated[str, typer.Option(help="bm25; dense or hybrid with an --encoder.")]
Encoder = Annotated[str | None, typer.Option(help="A sentence encoder for dense and hybrid.")]
Lang = Annotated[str | None, typer.Option(help="en or zh; the question's own if absent.")]
Threshold = Annotated[float, typer.Option(min=0, max=1, help="Below this confidence: not in your documents.")]
AllowRemote = Annotated[
    bool, typer.Option("--allow-remote/--local-only", help="Let pieces of documents go to an endpoint elsewhere.")
]
Redact = Annotated[
    bool, typer.Option("--redact", help="E-mail addresses, telephone and ID numbers, keys do not leave.")
]
PriceOf = Annotated[
    str | None, typer.Option(help="The endpoint's price of a million tokens: prompt,answer, as 0.15,0.60.")
]
MaxCost = Annotated[float | None, typer.Option(min=0, help="Stop before the endpoint has cost more.")]
Questions = Annotated[Path | None, typer.Option(help="Score a JSONL file of questions instead.")]
MakeQuestions = Annotated[
    int | None, typer.Option(min=1, max=10_000, help="Draft so many questions for you to correct.")
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where scores (a folder) or drafts (a file) go.")]
IndexFolder = Annotated[Path | None, typer.Option("--index", help="Where the index is kept.")]


@commands.command(
    rich_help_panel=USE, epilog='Example: fourfold ask notes/ "When does the contract with the printer end?"'
)
def ask(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Text, Markdown, HTML, PDF, DOCX, XLSX, PPTX, EML.")],
    question: Annotated[str | None, typer.Argument(metavar="QUESTION", help="None: ask again and again.")] = None,
    model: Wording = NO_MODEL,
    k: Passages = 8,
    method: Method = "bm25",
    encoder: Encoder = None,
    lang: Lang = None,
    threshold: Threshold = 0.5,
    max_tokens: MaxTokens = 80,
    allow_remote: AllowRemote = False,
    redact: Redact = False,
    price: PriceOf = None,
    max_cost: MaxCost = None,
    questions: Questions = None,
    make_questions: MakeQuestions = None,
    output: Output = None,
    index_folder: IndexFolder = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Answers from your documents; every sentence is checked to stand in its file, and quoted from there.

    Nothing leaves this machine unless you name an endpoint and say --allow-remote. The index is updated first:
    only what is new or changed is read.
    """
    _check(lang, method, encoder)
    from fourfold.utilization.retrieval import open_index

    vectors: Any = load_model(encoder) if encoder else None
    with open_index(folder, index_folder=index_folder, encoder=vectors) as index:
        asking = Asking(
            index=index, folder=folder, reference=model, k=k, method=method, lang=lang, threshold=threshold,
            choice=sampling(max_tokens, 0), gate=Terms(allow_remote, redact, price, max_cost), as_json=as_json,
        )  # fmt: skip
        asking.check_model()
        _update(index)
        if make_questions is not None:
            asking.draft(make_questions, output or Path("questions.jsonl"), seed)
        elif questions is not None:
            asking.score(questions, output, seed)
        elif question is not None:
            asking.answer(question)
            asking.end([folder, "--make-questions", 20])
        else:
            asking.converse()
            asking.end([folder, "--make-questions", 20])


def _check(lang: str | None, method: str, encoder: str | None) -> None:
    if lang not in (None, "en", "zh"):
        raise UserError("unknown language", where="--lang", expected="en or zh", got=lang)
    if method not in METHODS:
        raise unknown_name("search method", method, METHODS)
    if method != "bm25" and encoder is None:
        raise UserError(f"{method} search needs a sentence encoder", advice="Name one with --encoder, or use bm25.")


def _update(index: DocumentIndex) -> None:
    """Bring the index up to date and say what was left out; a folder without text is refused."""
    report = index.update()
    if report.read or report.removed:
        say(str(report))
    else:
        left_out = sum(skip.count for skip in report.skipped)
        say(f"Nothing new: {report.passages} passages, {left_out} files left out.")
    if not len(index):
        reasons = "; ".join(f"{skip.count} {skip.extension}: {skip.reason}" for skip in report.skipped[:4])
        raise UserError(
            "there is no text to ask in this folder", where=index.folder, got=reasons or "no files",
            advice="Readable are text, Markdown, HTML, PDF, DOCX, XLSX, PPTX and EML.",
        )  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """On which terms an endpoint may be used."""

    allow_remote: bool
    redact: bool
    price: str | None
    max_cost: float | None


@dataclass(kw_only=True)
class Asking:
    """One folder, and how it is asked."""

    index: DocumentIndex
    folder: Path
    reference: str
    k: int
    method: Any
    lang: Any
    threshold: float
    choice: Sampling
    gate: Terms
    as_json: bool
    loaded: ChatModel | None = None
    last: Answer | None = None

    def check_model(self) -> None:
        """Refuse what may not be used before any document is read."""
        if self.reference.startswith("openai:"):
            self._load(self.reference)
        elif self.gate.max_cost is not None or self.gate.price is not None:
            raise UserError("only an endpoint costs money", where="--max-cost", advice="Leave it and --price out.")

    def answer(self, question: str) -> None:
        """Answer on stdout; what stands in the setting of the model is said, and the quotes stay."""
        from fourfold.utilization.answering import answer_question

        options: dict[str, Any] = {"k": self.k, "method": self.method, "threshold": self.threshold}
        options |= {"language": self.lang, "sampling": self.choice}
        answer = answer_question(question, self.index, **options)
        if answer.answered and self.reference != NO_MODEL:
            try:
                answer = answer_question(question, self.index, model=self._load(self.reference), **options)
            except UserError as error:
                answer = replace(answer, notes=(*answer.notes, f"{error} Here are the quotes."))
        self.last = answer
        if self.as_json:
            show_json(answer_record(answer, self.reference))
        else:
            show_answer(answer)

    def converse(self) -> None:
        """Questions line by line, until /quit or the end of the input."""
        text = words(self.lang)
        if sys.stdin.isatty():
            say(text["welcome"].format(folder=self.folder))
        while (line := _read_line()) is not None:
            name = line.strip()
            if name in ("/quit", "/exit"):
                return
            if name == "/sources" and self.last is not None:
                show_sources(self.last)
            elif name.startswith("/"):
                say(text["help"])
            elif name:
                self.answer(name)

    def draft(self, count: int, file: Path, seed: int) -> None:
        """Write questions for the user to correct."""
        from fourfold.files import write_jsonl
        from fourfold.utilization.answering import draft_questions

        if file.exists():
            raise UserError("already there, perhaps with your corrections", where=file, advice="Name another with -o.")
        model = None if self.reference == NO_MODEL else self._load(self.reference)
        drafts = draft_questions(self.index.passages(), count, model=model, seed=seed)
        if not drafts:
            raise UserError("no sentence in these documents can be made a question", where=self.folder)
        write_jsonl(file, drafts)
        makers = [str(draft["made_by"]) for draft in drafts]
        counts = ", ".join(f"{makers.count(maker)} by {maker}" for maker in dict.fromkeys(makers))
        say(
            f"{len(drafts)} questions drafted ({counts})."
            ' Correct them, drop the bad ones, and add some that your documents do not answer, with "answer": null.'
        )
        if self.as_json:
            show_json(drafts)
        finish(where=file, next_command=["ask", self.folder, "--questions", file], result_on_stdout=not self.as_json)

    def score(self, file: Path, output: Path | None, seed: int) -> None:
        """Score retrieval and answers on the user's own questions."""
        from fourfold.evaluation import AskSetting, read_questions, score_questions

        asked = read_questions(file)
        model = None if self.reference == NO_MODEL else self._load(self.reference)
        label = "quotes" if model is None else self.reference
        folder = output or Path("evaluations") / f"ask-{file.stem}"
        again = ["ask", self.folder, "--questions", file, "--model", self.reference, "-o", folder]
        resume_command.set(command_line(again))
        self._announce([question.question for question in asked], model)
        setting = AskSetting(model, label, self.k, self.method, self.threshold)
        results = score_questions(asked, self.index, setting, folder=folder, name=f"ask:{file.name}", seed=seed)
        if self.as_json:
            show_json(results)
        else:
            show_table(results["rows"], {key: key for key in ("task", "metric", "value", "low", "high", "n")})
        finish(where=folder, next_command=["compare", folder, "OTHER"], result_on_stdout=not self.as_json)

    def end(self, next_words: list[object]) -> None:
        finish(where=self.index.index_folder, what="Index", next_command=["ask", *next_words], result_on_stdout=False)

    # ---- models

    def _load(self, reference: str) -> ChatModel:
        """The model, loaded once; an endpoint beyond this machine only with leave, behind the gate."""
        if self.loaded is None:
            from fourfold.inference import ChatModel, Endpoint

            found = load_model(reference)
            if isinstance(found, Endpoint) and not found.is_local:
                self.loaded = self._gated(found)
            elif isinstance(found, ChatModel) and "chat" in found.capabilities:
                self.loaded = found
            else:
                raise UserError("this model does not chat, so it cannot word answers", where=reference)
        return self.loaded

    def _gated(self, endpoint: Any) -> ChatModel:
        from fourfold.inference import Price
        from fourfold.utilization.answering import Gate, Redactor

        if not self.gate.allow_remote:
            raise UserError(
                f"pieces of your documents would leave this machine for {endpoint.host}", where=self.reference,
                advice="Say --allow-remote if they may (with --redact, without what identifies people).",
            )  # fmt: skip
        price = None
        if self.gate.price is not None:
            try:
                price = Price(**dict(zip(("prompt", "answer"), map(float, self.gate.price.split(",")), strict=True)))
            except ValueError:
                raise UserError("not a price", where="--price", expected="two numbers, as 0.15,0.60") from None
        limit = float("inf") if self.gate.max_cost is None else self.gate.max_cost
        hide = Redactor() if self.gate.redact else None
        return Gate(endpoint, permit=_permit, redactor=hide, price=price, max_cost=limit)

    def _announce(self, questions: list[str], model: Any) -> None:
        """What all these questions would send, before the first goes."""
        from fourfold.utilization.answering import Gate, answer_question, messages_for

        if isinstance(model, Gate):
            options: dict[str, Any] = {"k": self.k, "threshold": self.threshold}
            answers = [answer_question(question, self.index, **options) for question in questions]
            sent = [messages_for(a.question, a.citations, a.language) for a in answers if a.answered]
            if sent:
                model.announce(sent, self.choice)


def _permit(outgoing: Outgoing) -> None:
    """Say what would leave; on a terminal, ask."""
    say(f"Leaving this machine {outgoing}.")
    if sys.stdin.isatty() and not typer.confirm("Send it?", err=True):
        raise UserError("nothing was sent.")


def _read_line() -> str | None:
    """The next line, or None at the end; the prompt mark is only for people."""
    if sys.stdin.isatty():
        sys.stderr.write("? ")
        sys.stderr.flush()
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None
