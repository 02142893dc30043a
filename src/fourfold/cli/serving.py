"""`fourfold serve` and `fourfold serve-key`: models behind the OpenAI-compatible HTTP interface."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fourfold.cli.console import say, show
from fourfold.cli.options import USE, DataType, Model, load_model, parse_bytes
from fourfold.errors import UserError

if TYPE_CHECKING:
    from fourfold.serving import Keys, Limits, Loaded

commands = typer.Typer()
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@commands.command(rich_help_panel=USE, epilog="Example: fourfold serve smollm2 --port 8000")
def serve(
    model: Model,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Another address than this machine's own needs --keys or --api-key.")
    ] = "127.0.0.1",
    keys: Annotated[Path | None, typer.Option(help="File of hashed keys, made by fourfold serve-key.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="FOURFOLD_API_KEY", help="A single key instead; better from the environment.")
    ] = None,
    adapter: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FOLDER", help="A LoRA adapter as a model name; may be repeated.")
    ] = None,
    embeddings: Annotated[
        str | None, typer.Option(metavar="[NAME=]MODEL", help="An encoder beside it, for /v1/embeddings.")
    ] = None,
    draft: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A smaller model that guesses where a request is speculative.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What clients call the model; its own name if absent.")] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="A web origin whose pages may call; off if absent.")
    ] = None,
    max_answer: Annotated[
        int | None, typer.Option(min=1, help="Longest answer in tokens a client may ask for.")
    ] = None,
    max_body: Annotated[str, typer.Option(help="Largest request.")] = "4MB",
    max_running: Annotated[int, typer.Option(min=1, help="Answers written together.")] = 32,
    max_waiting: Annotated[int, typer.Option(min=0, help="Answers that may wait; then 429.")] = 128,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one request.")] = 600,
    drain: Annotated[float, typer.Option(min=0, help="Seconds for open answers after SIGTERM.")] = 30,
    memory: Annotated[str | None, typer.Option(help="For keys and values of all answers, such as 1GB.")] = None,
    batch_invariant: Annotated[
        bool, typer.Option("--batch-invariant", help="Same request, same bits, whatever else runs; slower.")
    ] = False,
    dtype: DataType = None,
) -> None:
    """Serve a model: chat (tools, streams), completions, embeddings, tokens, /health, /metrics, /docs."""
    # budget: half of it is the options of the command
    _need_packages()
    from fourfold.serving import Limits, bound, create_app, log_to_stderr, run

    known = _keys(keys, api_key)
    if host not in LOOPBACK and known is None:
        raise UserError(
            "serving beyond this machine needs a key", where=f"--host {host}",
            advice="Make one with: fourfold serve-key NAME --keys FILE",
        )  # fmt: skip
    limits = Limits(
        body=parse_bytes(max_body), answer_tokens=max_answer, rows=max_running, waiting=max_waiting, seconds=timeout,
        drain_seconds=drain, kv_bytes=None if memory is None else parse_bytes(memory), batch_invariant=batch_invariant,
    )  # fmt: skip
    adapters = _adapters(adapter or [])
    beside, encoder = _named(embeddings)
    _locate(model, encoder, draft)
    opened = bound(host, port)
    name = name or (model if model == "smollm2" else Path(model).name)
    app = create_app(
        lambda: _loaded({name: model, beside: encoder}, dtype, adapters, limits, draft),
        name=name, keys=known, limits=limits, origins=cors_origin or (),
    )  # fmt: skip
    address = f"http://{f'[{host}]' if ':' in host else host}:{opened.getsockname()[1]}"
    say(f"Serving {model} at {address}/v1 (fields at {address}/docs); stop with Ctrl-C.")
    say(f"Try: fourfold chat openai:{name}@{address}/v1")
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    log_to_stderr()
    run(app, opened)


@commands.command("serve-key", rich_help_panel=USE, epilog="Example: fourfold serve-key alice --keys keys.txt")
def serve_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who the key is for; the log shows this name.")],
    keys: Annotated[Path, typer.Option(help="File its hash is added to.")],
) -> None:
    """Make a key for `fourfold serve --keys`; it is shown once and kept as a hash."""
    _need_packages()
    from fourfold.serving import add_key

    show(add_key(keys, name))
    say(f"The hash is in {keys}; the key itself is nowhere else. Next: fourfold serve MODEL --keys {keys}")


def _need_packages() -> None:
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise UserError(
            "the server's packages are not installed", advice="Install them with: pip install 'fourfold[serving]'"
        ) from None


def _keys(file: Path | None, single: str | None) -> Keys | None:
    from fourfold.serving import Keys, digest, read_keys

    if file is not None:
        return read_keys(file)
    return Keys({"key": digest(single)}) if single else None


def _adapters(words: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise UserError("not an adapter", where=f"--adapter {word}", expected="NAME=FOLDER")
        if name in found:
            raise UserError(f"two adapters named '{name}'", where="--adapter")
        found[name] = Path(folder).expanduser()
    return found


def _locate(*references: str | None) -> None:
    """Say that a model is not there before the server starts, not after."""
    from fourfold.inference import locate

    for reference in references:
        if reference is None:
            continue
        if reference.startswith("openai:"):
            raise UserError("an endpoint is a server already", where=reference, advice="Ask it directly.")
        if not reference.startswith("hf:"):
            locate(reference)


def _named(word: str | None) -> tuple[str, str | None]:
    """`NAME=MODEL` in two; a folder alone is called by its own name."""
    name, equals, reference = (word or "").partition("=")
    return (name, reference) if equals else (Path(name).name, name or None)


def _loaded(
    references: dict[str, str | None], dtype: str | None, adapters: dict[str, Path], limits: Limits, draft: str | None
) -> Loaded:
    """The model, and perhaps an encoder beside it, under the names given to them."""
    from fourfold.inference import LanguageModel, TextEncoder
    from fourfold.serving import Loaded

    found: list[LanguageModel | TextEncoder] = []
    for name, reference in references.items():
        if reference is not None:
            model = load_model(reference, dtype)
            assert isinstance(model, LanguageModel | TextEncoder)  # endpoints were refused before
            model.name = name
            found.append(model)
    if len(found) > 1 and not isinstance(found[1], TextEncoder):
        raise UserError("not an encoder of texts", where="--embeddings")
    writers = [model for model in found if isinstance(model, LanguageModel)]
    encoders = [model for model in found if isinstance(model, TextEncoder)]
    for model in writers:
        model.limits = limits.engine
    guesses = None if draft is None else load_model(draft, dtype)
    if guesses is not None and not isinstance(guesses, LanguageModel):
        raise UserError("not a model that writes", where=f"--draft {draft}")
    return Loaded(writers[0] if writers else None, encoders[-1] if encoders else None, adapters, guesses)
