"""Models behind an OpenAI-compatible HTTP interface."""

from fourfold.serving.app import create_app
from fourfold.serving.journal import log_to_stderr
from fourfold.serving.keys import Keys, add_key, digest, read_keys
from fourfold.serving.limits import Limits
from fourfold.serving.loaded import Loaded
from fourfold.serving.running import bound, run

__all__ = ["Keys", "Limits", "Loaded", "add_key", "bound", "create_app", "digest", "log_to_stderr", "read_keys", "run"]
