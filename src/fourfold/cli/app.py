"""The command tree and its frame: errors in one sentence, exit codes, Ctrl-C, progress on stderr."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, NoReturn

import typer
import typer.core
import typer.main

from fourfold import __version__
from fourfold.cli import (
    adaptation,
    ask,
    chat,
    claims,
    comparison,
    convert,
    corpus,
    doctor,
    evaluation,
    generation,
    inspect,
    machine,
    models,
    ngram,
    plan,
    pretraining,
    quantization,
    runs,
    scoring,
    serving,
    start,
    tokenizer,
    vectors,
)
from fourfold.cli.console import command_line, resume_command, say
from fourfold.errors import FourfoldError, Interrupted
from fourfold.launch import follows, launched_rank

# A waiting thread sleeps instead of spinning: a tenth slower alone, ten times faster beside another busy program
# (LOG.md, 2026-11-22). It must be set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

OWN_ERROR, USER_ERROR, INTERRUPTED = 1, 2, 130
NO_MEMORY = "Not enough memory for this; `fourfold plan` says what would fit."

app = typer.Typer(
    name="fourfold",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start here: fourfold quickstart",
)
GROUPS = (start, ask, runs, claims, plan, corpus, tokenizer, ngram, vectors, pretraining, adaptation, quantization,
          generation, chat, evaluation, comparison, scoring, models, doctor, inspect, convert, serving,
          machine)  # fmt: skip
for group in GROUPS:
    app.add_typer(group.commands)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fourfold {__version__}")
        raise typer.Exit


@app.callback()
def fourfold(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Language models from raw text to report: pre-train, adapt, use, evaluate."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The `fourfold` program; `--debug` may stand anywhere."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run([word for word in words if word != "--debug"], debug="--debug" in words))


def run(words: Sequence[str], *, debug: bool = False) -> int:
    """Run one command line and return its exit code: 0, 2 the user's error, 1 ours, 130 interrupted."""
    _prepare_streams(debug)
    try:
        return _call(words)
    except typer.TyperException as error:
        problem = str(error).rstrip(".")
        say(f"Error: {problem}{'' if problem.endswith('?') else '.'} See: {_help_command(words)}")
        return USER_ERROR
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except BrokenPipeError:
        # The reader (`head`, a pager) has gone; nothing more can be told to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Interrupted as error:
        say(f"\n{error}")
        return error.exit_code
    except FourfoldError as error:
        _explain(error, str(error), debug)
        return error.exit_code
    except MemoryError as error:
        _explain(error, NO_MEMORY, debug)
        return USER_ERROR
    except Exception as error:
        if "can't allocate memory" in str(error) or type(error).__name__ == "OutOfMemoryError":  # how torch says it
            _explain(error, NO_MEMORY, debug)
            return USER_ERROR
        again = shlex.join(["fourfold", "--debug", *words])
        _explain(
            error,
            f"Fourfold failed ({type(error).__name__}: {error}). This is our error; see more with: {again}",
            debug,
        )
        return OWN_ERROR


def _call(words: Sequence[str]) -> int:
    from fourfold.cli.progress import sink_for
    from fourfold.progress import use_sink

    command = typer.main.get_command(app)
    with nullcontext() if follows() else use_sink(sink_for()):
        result = command.main(args=list(words), prog_name="fourfold", standalone_mode=False)
    if result == INTERRUPTED:  # how typer hands on a Ctrl-C
        return _interrupted()
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    if follows():
        return INTERRUPTED
    again = resume_command.get()
    say(f"\nInterrupted; finished work is kept. Go on with: {again}" if again else "\nInterrupted.")
    return INTERRUPTED


def _help_command(words: Sequence[str]) -> str:
    """The help of the command that was meant, or of all where it is not known."""
    command = typer.main.get_command(app)
    known = command.commands if isinstance(command, typer.core.TyperGroup) else {}
    return command_line([*(word for word in words[:1] if word in known), "--help"])


def _explain(error: BaseException, sentence: str, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    say(f"Rank {launched_rank()}: {sentence}" if follows() else f"Error: {sentence}")


def _prepare_streams(debug: bool) -> None:
    """UTF-8 out, whatever the console's code page; other packages' warnings only with --debug.

    Of the processes of a launch the first has results to show, the others only errors.
    """
    if follows():
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until the process ends
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and (stream.encoding or "").lower() != "utf-8":
            stream.reconfigure(encoding="utf-8", errors="replace")
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")
