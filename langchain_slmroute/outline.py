"""What kind of structured answer is wanted, and how each tier is asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_slmroute.dialects import Dialect
from langchain_slmroute.schemas import portable_schema, titled_schema
from langchain_slmroute.validated import is_pydantic
from slmroute.errors import ConfigError

__all__ = ["Outline"]


@dataclass(frozen=True, slots=True)
class Outline:
    """What kind of structured answer is wanted.

    Attributes:
        schema: A Pydantic class, a ``TypedDict`` class, a JSON schema, by itself or in OpenAI's format, or None for any
            JSON.
        include_raw: Whether the message is wanted beside the parsed answer.
        method: How to ask a tier for it; None for its own default.
        strict: Passed to tiers that know it.
        kwargs: Further arguments of the tiers' ``with_structured_output``.
    """

    schema: Any
    include_raw: bool
    method: str | None
    strict: bool | None
    kwargs: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.method not in (None, "json_schema", "function_calling", "json_mode"):
            raise ConfigError(
                f"with_structured_output(method={self.method!r}): there are 'json_schema', 'function_calling' and "
                "'json_mode'."
            )
        if self.schema is None and self.method != "json_mode":
            raise ConfigError("with_structured_output(schema=None) is for method='json_mode' only: give a schema.")

    @property
    def is_strict(self) -> bool | None:
        """What was said of strictness, beside the schema or in OpenAI's format around it."""
        if self.strict is not None or self.method == "json_mode":
            return self.strict
        schema = cast("object", self.schema)
        if not isinstance(schema, Mapping):
            return None
        given = cast("Mapping[str, Any]", schema)
        strict = cast("Mapping[str, Any]", given.get("json_schema") or given).get("strict")
        return strict if isinstance(strict, bool) else None

    def schema_for(self, dialect: Dialect) -> Any:
        """Give the schema in the form that the class of a tier takes."""
        if dialect.plain_schemas and is_pydantic(self.schema):
            return self.schema.model_json_schema()
        schema = portable_schema(self.schema)
        by_format = dialect.provider == "ollama" and self.method != "function_calling"
        return schema if by_format else titled_schema(schema)
