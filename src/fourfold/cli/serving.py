"""`fourfold serve`: a model behind the OpenAI-compatible HTTP interface."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from fourfold.cli.console import say
from fourfold.cli.options import USE, DataType, Model, load_model
from fourfold.errors import UserError

commands = typer.Typer()
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@commands.command(rich_help_panel=USE, epilog="Example: fourfold serve smollm2 --port 8000")
def serve(
    model: Model,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Another address than this machine's own needs an --api-key.")
    ] = "127.0.0.1",
    api_key: Annotated[
        str | None, typer.Option(envvar="FOURFOLD_API_KEY", help="Clients must send this as their bearer token.")
    ] = None,
    dtype: DataType = None,
) -> None:
    """Serve a model: /v1/models, /v1/chat/completions (streaming too), /v1/completions, /health."""
    if host not in LOOPBACK and not api_key:
        raise UserError(
            "serving beyond this machine needs a key", where=f"--host {host}", advice="Add --api-key SECRET."
        )
    try:
        import uvicorn

        from fourfold.serving import create_app
    except ImportError:
        raise UserError(
            "the server's packages are not installed", advice="Install them with: pip install 'fourfold[serving]'"
        ) from None
    from fourfold.inference import TextEncoder

    lm = load_model(model, dtype)
    if isinstance(lm, TextEncoder):
        lm.generate([])  # refuses with what it can do
    application = create_app(lm, api_key=api_key)
    server = uvicorn.Server(uvicorn.Config(application, host=host, port=port, log_level="warning"))
    shown = f"http://{host}:{port or '(see the log)'}/v1"
    say(f"Serving {model} at {shown}; stop with Ctrl-C.")
    say(f"Try: fourfold chat openai:{application.state.model_name}@{shown}")
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    server.run()
