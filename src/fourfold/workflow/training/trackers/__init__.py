"""Who is told of every step of a training: TensorBoard's files always, other trackers where a recipe names them."""

from fourfold.workflow.training.trackers.services import require_service
from fourfold.workflow.training.trackers.telling import Trackers, open_trackers

__all__ = ["Trackers", "open_trackers", "require_service"]
