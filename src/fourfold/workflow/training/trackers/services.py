"""Experiment trackers of others, each behind the same calls. Their packages are extras, imported only here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, final

from fourfold.errors import UserError, unknown_name
from fourfold.progress import say

ANSWER_SECONDS = 15.0
"""Seconds in which a server must have answered the first time."""


MOST_NUMBERS = 1000
"""Numbers that an MLflow server takes in one request."""

Row = tuple[int, Mapping[str, float]]
"""A step and its numbers by name."""


class Service(Protocol):
    """Takes rows, as many at once as are waiting."""

    def log(self, rows: Sequence[Row]) -> None: ...
    def finish(self) -> None: ...


@final
class Run:
    """A run of Weights & Biases, or of Trackio, which has the same interface."""

    def __init__(self, package: Any, project: str, name: str, settings: Mapping[str, Any]) -> None:
        self._run = package.init(project=project, name=name, config=dict(settings))
        if self._run.url:
            say(f"{project} {name}: {self._run.url}")

    def log(self, rows: Sequence[Row]) -> None:
        for step, values in rows:
            self._run.log(dict(values), step=step)

    def finish(self) -> None:
        self._run.finish()


def quiet_run(package: Any, project: str, name: str, settings: Mapping[str, Any]) -> Run:
    """A run of W&B that neither speaks nor asks for a key on the screen a training is shown on, and gives a server up
    before the end of the process would wait for it."""
    package.setup(package.Settings(silent=True, init_timeout=ANSWER_SECONDS))
    return Run(package, project, name, settings)


@final
class MLflow:
    """An MLflow server, or its local folder, as MLFLOW_TRACKING_URI says."""

    def __init__(self, package: Any, project: str, name: str, settings: Mapping[str, Any]) -> None:
        self._package, self._client = package, package.MlflowClient()
        package.set_experiment(project)
        self._run = package.start_run(run_name=name).info.run_id
        package.log_params(dict(settings))

    def log(self, rows: Sequence[Row]) -> None:
        now, metric = round(1000 * time.time()), self._package.entities.Metric
        numbers = [metric(name, value, now, step) for step, values in rows for name, value in values.items()]
        for start in range(0, len(numbers), MOST_NUMBERS):
            self._client.log_batch(self._run, metrics=numbers[start : start + MOST_NUMBERS])

    def finish(self) -> None:
        self._package.end_run()


SERVICES: dict[str, Callable[[Any, str, str, Mapping[str, Any]], Service]] = {
    "wandb": quiet_run,
    "trackio": Run,
    "mlflow": MLflow,
}


def require_service(service: str) -> None:
    """Refuse a tracker that is not known or not installed; nothing of it is loaded."""
    if service not in SERVICES:
        raise unknown_name("tracker", service, SERVICES)
    if find_spec(service) is None:
        raise UserError(f"tracker '{service}' is not installed", advice=f"pip install 'fourfold[{service}]'")


def open_service(service: str, project: str, name: str, settings: Mapping[str, Any]) -> Service:
    """The tracker of that name, told of a run; loading it and asking its server may take long."""
    return SERVICES[service](import_module(service), project, name, settings)
