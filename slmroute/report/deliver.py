"""Handing a report on: to a command, to a webhook. For the weekly cron."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from string import Template
from typing import Final
from urllib.parse import urlsplit

from slmroute.errors import ConfigError, SlmrouteError

__all__ = ["run_command", "send_webhook"]

COMMAND_S: Final = 300
WEBHOOK_S: Final = 15.0
LONGEST: Final = 200


def run_command(command: str, text: str, environment: Mapping[str, str]) -> None:
    """Run a command with the report on its standard input.

    Args:
        command: The command with its arguments, quoted as in a shell; no shell runs it.
        text: The report.
        environment: Variables it gets besides those of this process; ``$NAME`` in an argument is one of these, too.

    Raises:
        ConfigError: The command cannot be read or found.
        SlmrouteError: It failed, or did not end within five minutes.
    """
    import os

    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--command cannot be read: {error}.") from None
    if not arguments:
        raise ConfigError(
            '--command is empty: give a command, for example --command "mail -s Report boss@example.com".'
        )
    try:
        done = subprocess.run(  # noqa: S603  the user's own command, on the user's own word
            [Template(argument).safe_substitute(environment) for argument in arguments],
            input=text.encode(),
            env={**os.environ, **environment},
            timeout=COMMAND_S,
            check=False,
            capture_output=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise ConfigError(
            f"--command: {arguments[0]!r} cannot be run: {error.strerror}. No shell reads it: for pipes and the like, "
            "write sh -c '...'."
        ) from None
    except subprocess.TimeoutExpired:
        raise SlmrouteError(f"--command: {arguments[0]!r} did not end within {COMMAND_S} seconds.") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[:LONGEST]
        raise SlmrouteError(f"--command: {arguments[0]!r} ended with status {done.returncode}. {said}".rstrip())


def send_webhook(url: str, message: Mapping[str, object]) -> None:
    """Post a message as JSON.

    Args:
        url: Where to. It may be a secret: errors show its host only.
        message: The message; its ``text`` is what Slack, Mattermost, Google Chat and Teams show.

    Raises:
        ConfigError: ``url`` is no web address.
        SlmrouteError: Nothing answers there, or it refuses.
    """
    import httpx

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("--webhook must be a web address that begins with https:// or http://.")
    try:
        answer = httpx.post(url, json=dict(message), timeout=WEBHOOK_S)
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise SlmrouteError(f"--webhook: {parts.hostname} could not be reached ({type(error).__name__}).") from None
    if not answer.is_success:
        raise SlmrouteError(f"--webhook: {parts.hostname} refused with HTTP {answer.status_code}.")
