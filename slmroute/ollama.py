"""Ollama housekeeping: is it there, which models has it, what can they do, fetch them, load them.

Everything goes through the ``ollama`` client, which is imported when first needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, cast

from slmroute.errors import ModelMissing, ServerUnreachable
from slmroute.ollama_address import OllamaAddress

if TYPE_CHECKING:
    import httpx
    import ollama

__all__ = ["LACKING", "TOLD_BY_SERVER", "ModelEntry", "ModelFacts", "OllamaServer", "PullProgress", "same_model"]

ABILITY_OF = {"tools": "tools", "vision": "images"}
"""Ollama's capabilities in the terms of ``tier.ABILITIES``. ``format`` takes a JSON schema for every model, and a
forced ``tool_choice`` is ignored for every model."""

TOLD_BY_SERVER = frozenset(ABILITY_OF.values())
"""What Ollama's models differ in, in the same terms."""

LACKING = frozenset({"audio", "files", "tool_choice", "video"})
"""What no model can do that Ollama serves, in the same terms."""

NUM_CTX = re.compile(r"^num_ctx\s+(\d+)\s*$", re.MULTILINE)


def same_model(one: str, other: str) -> bool:
    """Tell whether two names mean the same model: a name without a tag is its ``:latest``."""
    return with_tag(one) == with_tag(other)


def with_tag(model: str) -> str:
    """Write the tag out that a model's name leaves out."""
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model that a server has.

    Attributes:
        name: Its name with the tag.
        size_bytes: Its size on disk.
        family: Its architecture's name, for example ``llama``.
        parameters: Its size as Ollama writes it, for example ``3.8B``.
        quantization: For example ``Q4_K_M``.
    """

    name: str
    size_bytes: int | None = None
    family: str | None = None
    parameters: str | None = None
    quantization: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a server says of one model.

    Attributes:
        name: The name it was asked for by.
        window: The longest context it was trained for, in tokens.
        num_ctx: The context its Modelfile sets, in tokens, or None where the server's own default applies.
        abilities: What it can do beside text, in the terms of ``tier.ABILITIES``.
        capabilities: The same in Ollama's words; empty on servers older than 0.6.4, which do not tell.
        family: Its architecture's name, for example ``llama``.
        parameters: Its size as Ollama writes it, for example ``3.8B``.
        quantization: For example ``Q4_K_M``.
    """

    name: str
    window: int | None = None
    num_ctx: int | None = None
    abilities: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    family: str | None = None
    parameters: str | None = None
    quantization: str | None = None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far fetching a model has come.

    Attributes:
        status: What is being done, in Ollama's words; ``success`` at the end.
        completed: Bytes fetched of the part at hand.
        total: Bytes of the part at hand; 0 while nothing is being fetched.
    """

    status: str
    completed: int = 0
    total: int = 0


class OllamaServer:
    """An Ollama server, or one that speaks its protocol.

    Args:
        host: Its address; None for ``OLLAMA_HOST``, and port 11434 of this machine where that is not set.
        timeout_s: Seconds to wait for each answer; loading and fetching models have timeouts of their own.

    Raises:
        ConfigError: ``host`` is not an address.

    All methods raise ``ServerUnreachable`` when no Ollama answers in time, or what answers is none.
    """

    def __init__(self, host: str | None = None, timeout_s: float = 5.0) -> None:
        self._address = OllamaAddress(host)
        self.timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"OllamaServer({self.url!r})"

    @property
    def url(self) -> str:
        """The server's address, without any user name or password."""
        return self._address.url

    def health(self) -> str:
        """Ask whether the server is there.

        Returns:
            Its version.
        """
        import httpx

        with self._errors(), httpx.Client(timeout=self.timeout_s, headers=authorization()) as client:
            return version_in(client.get(f"{self.url}/api/version"))

    async def ahealth(self) -> str:
        """Do what ``health`` does, asynchronously."""
        import httpx

        with self._errors():
            async with httpx.AsyncClient(timeout=self.timeout_s, headers=authorization()) as client:
                return version_in(await client.get(f"{self.url}/api/version"))

    def models(self) -> list[ModelEntry]:
        """List the models the server has, in its order."""
        with self._errors(), self._address.client(self.timeout_s) as client:
            return [entry_of(model) for model in client.list().models if model.model]

    def has(self, model: str) -> bool:
        """Tell whether the server has a model; a name without a tag is its ``:latest``."""
        return any(same_model(each.name, model) for each in self.models())

    def require(self, model: str) -> None:
        """Make sure that the server has a model.

        Raises:
            ModelMissing: It has not; the message gives the command, and names that are like it.
        """
        present = [each.name for each in self.models()]
        if not any(same_model(name, model) for name in present):
            raise self._missing(model, present)

    def show(self, model: str) -> ModelFacts:
        """Ask what a model is and can do.

        Raises:
            ModelMissing: The server has no such model.
        """
        with self._errors(model), self._address.client(self.timeout_s) as client:
            return facts_of(model, client.show(model))

    async def ashow(self, model: str) -> ModelFacts:
        """Do what ``show`` does, asynchronously."""
        with self._errors(model):
            async with self._address.aclient(self.timeout_s) as client:
                return facts_of(model, await client.show(model))

    def pull(self, model: str) -> Iterator[PullProgress]:
        """Fetch a model, however long it takes; closing the iterator breaks off, and a later pull goes on from there.

        Yields:
            How far it has come.

        Raises:
            ModelMissing: The registry has no such model.
        """
        import httpx

        patience = httpx.Timeout(None, connect=self.timeout_s)
        with self._errors(model, pulling=True), self._address.client(patience) as client:
            for part in client.pull(model, stream=True):
                yield PullProgress(part.status or "", part.completed or 0, part.total or 0)

    def warm_up(self, model: str, num_ctx: int | None = None, timeout_s: float = 120.0) -> None:
        """Load a model, so that the next call finds it in memory.

        Args:
            model: The model.
            num_ctx: The context to load it with, in tokens. Give the one that its callers send: another reloads it.
            timeout_s: Seconds to wait. Hanging up makes Ollama break off the load, so be generous.

        Raises:
            ModelMissing: The server has no such model.
        """
        with self._errors(model):
            self._address.chat(load_request(model, num_ctx), timeout_s)

    async def awarm_up(self, model: str, num_ctx: int | None = None, timeout_s: float = 120.0) -> None:
        """Do what ``warm_up`` does, asynchronously."""
        with self._errors(model):
            await self._address.achat(load_request(model, num_ctx), timeout_s)

    @contextmanager
    def _errors(self, model: str | None = None, *, pulling: bool = False) -> Generator[None]:
        """Turn the client's errors into ours; for a refused connection it raises ConnectionError, or httpx does."""
        import httpx
        import ollama

        try:
            yield
        except ollama.ResponseError as error:
            if model is not None and pulling and "does not exist" in error.error:
                raise ModelMissing(
                    f"The registry has no model {model!r}: see https://ollama.com/library for what there is."
                ) from error
            if model is not None and error.status_code == 404:
                raise self._missing(model) from error
            status = f" with HTTP {error.status_code}" if error.status_code > 0 else ""
            raise ServerUnreachable(f"Ollama at {self.url} failed{status}: {error.error[:200]}") from error
        except httpx.ConnectTimeout as error:
            raise self._address.unreachable() from error
        except httpx.TimeoutException as error:
            raise ServerUnreachable(
                f"Ollama at {self.url} did not answer in time (timeout_s=). It may be loading a model: try again, or "
                "give it longer."
            ) from error
        except (ConnectionError, httpx.TransportError) as error:
            raise self._address.unreachable() from error
        except (ValueError, TypeError) as error:
            raise ServerUnreachable(
                f"What answers at {self.url} (setting host= / OLLAMA_HOST) does not speak Ollama's protocol."
            ) from error

    def _missing(self, model: str, present: list[str] | None = None) -> ModelMissing:
        close = get_close_matches(with_tag(model), present or (), n=3, cutoff=0.6)
        hint = f" It has {', '.join(close)}." if close else ""
        return ModelMissing(f"Ollama at {self.url} has no model {model!r}: `ollama pull {model}`.{hint}")


def authorization() -> dict[str, str]:
    """Give the header that the ollama client sends where ``OLLAMA_API_KEY`` is set."""
    key = os.environ.get("OLLAMA_API_KEY")
    return {"authorization": f"Bearer {key}"} if key else {}


def version_in(response: httpx.Response) -> str:
    """Read the answer of ``/api/version``, an endpoint that the client has no method for."""
    body: object = response.json() if response.is_success else None
    version = cast("Mapping[str, object]", body).get("version") if isinstance(body, dict) else None
    if not isinstance(version, str):
        raise ValueError("no version")  # noqa: TRY004  a wrong answer, not a wrong argument
    return version


def entry_of(model: ollama.ListResponse.Model) -> ModelEntry:
    """Read one entry of the list of models."""
    details = model.details
    return ModelEntry(
        name=model.model or "",
        size_bytes=None if model.size is None else int(model.size),
        family=details.family if details else None,
        parameters=details.parameter_size if details else None,
        quantization=details.quantization_level if details else None,
    )


def facts_of(name: str, shown: ollama.ShowResponse) -> ModelFacts:
    """Read the answer of ``/api/show``."""
    details, info = shown.details, cast("Mapping[str, object]", shown.modelinfo or {})
    window = info.get(f"{info.get('general.architecture')}.context_length")
    given = NUM_CTX.search(shown.parameters or "")
    if shown.capabilities is None:
        # Servers that do not tell decide by the template, too.
        abilities = {"tools"} if ".Tools" in (shown.template or "") else set[str]()
    else:
        abilities = {ABILITY_OF[each] for each in shown.capabilities if each in ABILITY_OF}
    return ModelFacts(
        name=name,
        window=window if isinstance(window, int) else None,
        num_ctx=int(given[1]) if given else None,
        abilities=frozenset(abilities | {"schema"}),
        capabilities=frozenset(shown.capabilities or ()),
        family=details.family if details else None,
        parameters=details.parameter_size if details else None,
        quantization=details.quantization_level if details else None,
    )


def load_request(model: str, num_ctx: int | None) -> dict[str, object]:
    """Write the chat without messages that loads a model."""
    return {"model": model, "messages": [], "options": None if num_ctx is None else {"num_ctx": num_ctx}}
