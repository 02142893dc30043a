"""The command line: one file per group of commands."""

from fourfold.cli.app import app, main

__all__ = ["app", "main"]
