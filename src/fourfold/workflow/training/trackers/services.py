"""Experiment trackers of others, each behind the same three calls. Their packages are extras, imported only here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Protocol, final

from fourfold.errors import UserError, unknown_name


class Tracker(Protocol):
    """Takes numbers by step."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...
    def finish(self) -> None: ...


@final
class WandB:
    """Weights & Biases, and Trackio, which has the same interface."""

    def __init__(self, package: Any, project: str, name: str, settings: Mapping[str, Any]) -> None:
        self._run = package.init(project=project, name=name, config=dict(settings))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        self._run.finish()


@final
class MLflow:
    """An MLflow server, or its local folder, as MLFLOW_TRACKING_URI says."""

    def __init__(self, package: Any, project: str, name: str, settings: Mapping[str, Any]) -> None:
        self._package = package
        package.set_experiment(project)
        package.start_run(run_name=name)
        package.log_params(dict(settings))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._package.log_metrics(dict(values), step=step)

    def finish(self) -> None:
        self._package.end_run()


SERVICES: dict[str, Callable[[Any, str, str, Mapping[str, Any]], Tracker]] = {
    "wandb": WandB,
    "trackio": WandB,
    "mlflow": MLflow,
}


def open_service(service: str, project: str, name: str, settings: Mapping[str, Any]) -> Tracker:
    """The tracker of that name, told of a run."""
    if service not in SERVICES:
        raise unknown_name("tracker", service, SERVICES)
    try:
        package = import_module(service)
    except ImportError:
        raise UserError(f"tracker '{service}' is not installed", advice=f"pip install 'fourfold[{service}]'") from None
    return SERVICES[service](package, project, name, settings)
