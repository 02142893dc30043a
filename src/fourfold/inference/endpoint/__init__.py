"""Any OpenAI-compatible endpoint as a model: the wire, the pace, the form of requests, answers kept on disk."""

from fourfold.inference.endpoint.endpoint import Endpoint
from fourfold.inference.endpoint.options import EndpointOptions, Price, Usage

__all__ = ["Endpoint", "EndpointOptions", "Price", "Usage"]
