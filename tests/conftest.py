"""What every test shares: threads that sleep while they wait, as the command line sets it; an ear for remarks."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when torch is loaded, so before any other import

import pytest

from fourfold.progress import use_sink


@pytest.fixture
def remarks():
    """What the library said during the test."""

    class Ear:
        def __init__(self):
            self.heard = []

        def start(self, label, total, unit):
            return self

        def advance(self, amount=1, note=""):
            pass

        def stop(self, task):
            pass

        def say(self, text):
            self.heard.append(text)

    ear = Ear()
    with use_sink(ear):
        yield ear.heard
