"""`fourfold chat`: a conversation in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fourfold.cli.console import finish, say, show
from fourfold.cli.options import (
    USE,
    DataType,
    MaxTokens,
    MinP,
    Model,
    SamplingSeed,
    Temperature,
    TopK,
    TopP,
    load_model,
    sampling,
)
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.inference import Message, Sampling

commands = typer.Typer()

HELP = """/help        this list
/reset       forget the conversation (the system message stays)
/save FILE   write the conversation as a JSONL record that `fourfold tune sft --data` reads
/quit        leave (or Ctrl-D); Ctrl-C stops an answer"""


@commands.command(rich_help_panel=USE, epilog="Example: fourfold chat smollm2 --temperature 0.7")
def chat(
    model: Model,
    system: Annotated[str | None, typer.Option(help="A system message that opens the conversation.")] = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    min_p: MinP = None,
    seed: SamplingSeed = None,
    dtype: DataType = None,
) -> None:
    """Talk with a model; it remembers the conversation. /help lists what you can type."""
    lm = load_model(model, dtype)
    if "generate" not in lm.capabilities:
        lm.chat([])  # an encoder refuses with what it can do
    if "chat" not in lm.capabilities:
        raise UserError(
            "this model has no chat template", where=model, advice=f'Use: fourfold generate {model} "PROMPT"'
        )
    conversation = Conversation(lm, system, sampling(max_tokens, temperature, top_k, top_p, min_p, seed))
    say(f"Chatting with {model}. /help lists the commands.")
    conversation.run()
    finish(next_command=["serve", model], result_on_stdout=False)


class Conversation:
    """One conversation with a model, line by line."""

    def __init__(self, model: Any, system: str | None, choice: Sampling) -> None:
        self.model, self.choice = model, choice
        self.opening: list[Message] = [{"role": "system", "content": system}] if system else []
        self.messages: list[Message] = list(self.opening)

    def run(self) -> None:
        """Until /quit or the end of the input."""
        while (line := _read_line()) is not None:
            if not line.strip():
                continue
            if line.startswith("/"):
                if not self.command(line):
                    return
            else:
                self.answer(line)

    def command(self, line: str) -> bool:
        """Carry out a slash command; False ends the conversation."""
        name, _, rest = line.strip().partition(" ")
        if name in ("/quit", "/exit"):
            return False
        if name == "/reset":
            self.messages = list(self.opening)
            say("The conversation is forgotten.")
        elif name == "/save":
            self.save(rest.strip())
        else:
            if name != "/help":
                say(f"There is no {name}.")
            say(HELP)
        return True

    def answer(self, question: str) -> None:
        """Ask, stream the answer and remember both; what was said before Ctrl-C is kept."""
        self.messages.append({"role": "user", "content": question})
        pieces: list[str] = []
        try:
            for piece in self.model.stream_chat(self.messages, self.choice):
                pieces.append(piece)
                sys.stdout.write(piece)
                sys.stdout.flush()
        except KeyboardInterrupt:
            say(" [stopped]")
        except UserError as error:
            self.messages.pop()
            say(f"{error} /reset starts afresh.")
            return
        show()
        self.messages.append({"role": "assistant", "content": "".join(pieces)})

    def save(self, name: str) -> None:
        from fourfold.files import append_jsonl

        if not name:
            say("Say where: /save FILE")
            return
        try:
            append_jsonl(Path(name).expanduser(), {"messages": self.messages})
            say(f"Added to {name}.")
        except UserError as error:
            say(str(error))


def _read_line() -> str | None:
    """The next line, or None at the end; the prompt mark is only for people."""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None
