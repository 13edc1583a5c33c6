"""Fakes to test a routed application with: no network, no keys, no waiting. The standard library is all they need.

``FakeServer`` stands for OpenAI and for Ollama, over real HTTP, and does as a script of ``Reply`` and ``Fault`` says.
``FakeClock`` stands for time, ``FakePerformer`` for the tiers themselves where no framework is wanted.
"""

from __future__ import annotations

from slmroute.testing.books import Received
from slmroute.testing.clock import FakeClock
from slmroute.testing.performer import BreaksOff, FakePerformer
from slmroute.testing.script import Entry, Fault, Reply, Script
from slmroute.testing.server import FakeServer

__all__ = ["BreaksOff", "Entry", "FakeClock", "FakePerformer", "FakeServer", "Fault", "Received", "Reply", "Script"]
