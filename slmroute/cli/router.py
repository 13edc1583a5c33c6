"""Which router a command is about: the one in a file, or the plain default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slmroute.errors import MissingExtra

if TYPE_CHECKING:
    from langchain_slmroute import RoutingChatModel
    from slmroute.config import RouterConfig

__all__ = ["ConfigOption", "chat_model", "router_config"]

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="The router's settings. By default slmroute.toml in this folder; without one, a small model on Ollama "
        "(llama3.1:8b), OpenAI's gpt-4.1, and the embedded classifier.",
        show_default=False,
        metavar="FILE",
    ),
]


def router_config(path: Path | None) -> RouterConfig:
    """Read the settings of the router that a command is about.

    Args:
        path: The file that was asked for; None for ``slmroute.toml`` where there is one, or the plain default.

    Raises:
        ConfigError: The file is not there, or a setting in it is wrong.
    """
    from slmroute.config import DEFAULT_FILE, RouterConfig, policy_of, read_config

    if path is not None or Path(DEFAULT_FILE).is_file():
        return read_config(path or DEFAULT_FILE)
    from slmroute.classify.embedded import EmbeddedClassifier
    from slmroute.presets import binary

    classifier = EmbeddedClassifier()
    policy = policy_of(binary(classifier=classifier)["tiers"], classifier, {})
    return RouterConfig(file=None, policy=policy, classifier=classifier, settings={}, variables={})


def chat_model(arguments: dict[str, Any], what: str) -> RoutingChatModel:
    """Build the router on LangChain.

    Args:
        arguments: Its keyword arguments.
        what: What needs it, for the error.

    Raises:
        MissingExtra: LangChain is not installed.
    """
    try:
        from langchain_slmroute import RoutingChatModel
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("langchain"):
            raise
        raise MissingExtra("langchain", what) from None
    return RoutingChatModel(**arguments)
