"""A tool call as a model writes it, a letter a token, with what it is sure of and what it is not."""

from __future__ import annotations

import json

from slmroute import FittedCalibrator

WRITTEN = json.dumps({"name": "weather", "arguments": {"city": "Rome"}})
ARGUMENTS = json.dumps({"city": "Rome"})
PLACE = WRITTEN.index(ARGUMENTS)
UNSURE_WORDS = [-3.0] * PLACE + [-0.01] * len(ARGUMENTS) + [-3.0]
UNSURE_ARGUMENTS = [-0.01] * PLACE + [-3.0] * len(ARGUMENTS) + [-0.01]
MARGINS = FittedCalibrator("platt", {"mean": 1.0, "margin": 1.0}, 0.0)
