"""Ollama's answers: one object or lines of JSON, and what the server says of its model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar

from slmroute.local.completion import Ask, Json, Piece, Times
from slmroute.local.model_file import ModelFile

__all__ = ["VERSION", "OllamaAnswer", "encode", "error", "loaded", "process_list", "show", "tags"]

VERSION = "0.13.0-slmroute"
"""The version of Ollama's wire that is spoken, and who speaks it."""


@dataclass(frozen=True, slots=True)
class OllamaAnswer:
    """How one request to ``/api/chat`` or ``/api/generate`` is answered.

    Attributes:
        model: The model's name as the client wrote it.
        ask: What it asked.
        chat: Whether it is a chat.
        stream: Whether the answer goes out piece by piece.
    """

    media_type: ClassVar[str] = "application/x-ndjson"
    model: str
    ask: Ask = field(repr=False)
    chat: bool
    stream: bool

    @property
    def opening(self) -> bytes:
        """What comes before the first piece: nothing."""
        return b""

    def frame(self, piece: Piece) -> bytes:
        """Write a piece that is not the last."""
        return encode(self._part(piece) | {"done": False} | self._probabilities(piece)) + b"\n"

    def closing(self, piece: Piece, times: Times) -> bytes:
        """Write the last piece."""
        return encode(self._whole(piece, times)) + b"\n"

    def whole(self, piece: Piece, times: Times) -> bytes:
        """Write all pieces in one."""
        return encode(self._whole(piece, times))

    def error_frame(self, message: str) -> bytes:
        """Write an error in the middle of a stream."""
        return error(message) + b"\n"

    def _part(self, piece: Piece) -> dict[str, object]:
        head: dict[str, object] = {"model": self.model, "created_at": moment(datetime.now(UTC))}
        if not self.chat:
            thinking = {"thinking": piece.thinking} if piece.thinking else {}
            return head | {"response": piece.text} | thinking
        said: dict[str, object] = {"role": "assistant", "content": piece.text}
        if piece.thinking:
            said["thinking"] = piece.thinking
        if piece.calls:
            said["tool_calls"] = list(piece.calls)
        return head | {"message": said}

    def _whole(self, piece: Piece, times: Times) -> dict[str, object]:
        end = piece.end
        metrics = {"total_duration": times.total_ns, "load_duration": times.load_ns}
        if end is not None:
            metrics |= {
                "prompt_eval_count": end.prompt_tokens,
                "prompt_eval_duration": end.prompt_ns,
                "eval_count": end.output_tokens,
                "eval_duration": end.output_ns,
            }
        done = {"done": True, "done_reason": "stop" if end is None else end.reason}
        # What is zero is left out.
        return (
            self._part(piece)
            | done
            | {key: value for key, value in metrics.items() if value}
            | self._probabilities(piece)
        )

    def _probabilities(self, piece: Piece) -> dict[str, object]:
        return {"logprobs": list(piece.logprobs)} if piece.logprobs else {}


def encode(value: Json) -> bytes:
    """Write JSON as the server does, without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def error(message: str) -> bytes:
    """Write an error."""
    return encode({"error": message})


def loaded(model: str, reason: str, *, chat: bool) -> bytes:
    """Write the answer to a request without a prompt, which loads the model or puts it out."""
    content: Json = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    head = {"model": model, "created_at": moment(datetime.now(UTC))}
    return encode({**head, **content, "done": True, "done_reason": reason})


def tags(file: ModelFile) -> bytes:
    """Write the list of models, which has one."""
    entry = {"name": file.name, "model": file.name, "modified_at": moment(file.modified_at)}
    return encode({"models": [{**entry, "size": file.size_bytes, "digest": file.digest, "details": details(file)}]})


def process_list(file: ModelFile, num_ctx: int, expires_at: datetime | None) -> bytes:
    """Write the list of models in memory.

    Args:
        file: The model.
        num_ctx: Its window as loaded, in tokens.
        expires_at: When it will be put out; None where it is not in memory.
    """
    if expires_at is None:
        return encode({"models": list[Json]()})
    entry = {
        "name": file.name,
        "model": file.name,
        "size": file.size_bytes,
        "digest": file.digest,
        "details": details(file),
        "expires_at": moment(expires_at),
        "size_vram": 0,
        "context_length": num_ctx,
    }
    return encode({"models": [entry]})


def show(file: ModelFile, num_ctx: int) -> bytes:
    """Write what the model is.

    Args:
        file: The model.
        num_ctx: The window that it is loaded with, in tokens.
    """
    return encode(
        {
            "modelfile": f"# Served by slmroute, for machines without Ollama\nFROM {file.path.name}\n",
            "parameters": f"{'num_ctx':<30} {num_ctx}",
            "template": file.template,
            "details": details(file),
            "model_info": file.model_info,
            "capabilities": list(file.capabilities),
            "modified_at": moment(file.modified_at),
        }
    )


def details(file: ModelFile) -> Json:
    """Describe the model in short."""
    families: Sequence[str] = [file.architecture]
    return {
        "parent_model": "",
        "format": "gguf",
        "family": file.architecture,
        "families": families,
        "parameter_size": file.parameter_size,
        "quantization_level": file.quantization,
    }


def moment(when: datetime) -> str:
    """Write a time as Ollama does."""
    return when.isoformat().replace("+00:00", "Z")
