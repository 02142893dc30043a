"""One engine decodes for everyone: requests of any model, together, a step at a time (docs/engine.md)."""

from fourfold.inference.engine.engine import Engine
from fourfold.inference.engine.request import Chooses, EngineCounts, EngineLimits, Overloaded, Request, Search, Token
from fourfold.inference.engine.running import Running

__all__ = ["Chooses", "Engine", "EngineCounts", "EngineLimits", "Overloaded", "Request", "Running", "Search", "Token"]
