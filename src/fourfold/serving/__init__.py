"""A model behind an OpenAI-compatible HTTP interface."""

from fourfold.serving.app import create_app

__all__ = ["create_app"]
