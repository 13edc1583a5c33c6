"""Routers written and read back: without secrets, with tiers given as strings."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.prompts import ChatPromptTemplate
from pydantic import SecretStr

from langchain_slmroute import RoutingChatModel
from langchain_slmroute.serialise import dumped, list_for_loading
from slmroute import Budget, Confidence, RouteRequest, Tier
from slmroute.errors import Misconfigured
from tests.langchain.stage import BIG, Stage, record_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


def unpickled(written: bytes) -> Any:
    return pickle.loads(written)  # noqa: S301  written a moment ago


def simple(request: RouteRequest) -> float:
    """Says that everything is simple: a classifier that can be pickled."""
    return 0.1


@pytest.fixture
def router(stage: Stage) -> RoutingChatModel:
    return RoutingChatModel(
        tiers=stage.strings(),
        escalation=Confidence(0.8, pass_draft=False),
        threshold=0.4,
        default_tier="small",
        deadline_s=30,
        temperature=0.2,
        max_tokens=50,
        stop=["END"],
        api_key="canary-of-the-router",
        prices={"openai:gpt-4.1": ("2", "8")},
        validate={"empty", "bad_json"},
        tags=["team-a"],
    )


def policy_of(router: Any) -> tuple[str, frozenset[str]]:
    policy = router.shared.engine.policy
    return repr(dataclasses.replace(policy, validate=frozenset())), policy.validate  # sets print in any order


def read_back(written: str) -> RoutingChatModel:
    return loads(written, allowed_objects=[RoutingChatModel], valid_namespaces=["langchain_slmroute"])


def test_a_router_that_is_read_back_decides_and_answers_as_before(stage: Stage, router: RoutingChatModel) -> None:
    again = read_back(dumps(router))
    assert isinstance(again, RoutingChatModel)
    assert policy_of(again) == policy_of(router)
    assert again.shared.engine is not router.shared.engine
    assert (again.temperature, again.max_tokens, again.stop) == (0.2, 50, ["END"])
    assert again.tags == ["team-a"]
    assert dumps(again) == dumps(router)
    first = again.invoke("What is blue?", tier="small")
    assert record_of(first)["tier"] == "small"
    assert stage.server.calls()[-1].body["options"]["num_predict"] == 50  # type: ignore[index]


def test_a_ledger_given_by_its_address_is_written(stage: Stage, tmp_path: Path) -> None:
    router = RoutingChatModel(tiers=stage.strings(), ledger=f"sqlite:///{tmp_path}/slmroute.db")
    again = read_back(dumps(router))
    assert again.ledger == router.ledger
    again.shared.engine.ledger.close()
    router.shared.engine.ledger.close()


def test_no_secret_is_written(router: RoutingChatModel) -> None:
    for written in (
        dumps(router),
        json.dumps(dumpd(router)),
        repr(router),
        str(router),
        str(router._identifying_params),
    ):
        assert "canary" not in written


def test_keys_are_taken_from_the_environment_after_reading_back(
    stage: Stage, router: RoutingChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-of-the-environment")
    again = read_back(dumps(router))
    assert record_of(again.invoke("What is blue?", tier="big"))["tier"] == "big"
    assert stage.server.calls(BIG)[-1].authorized


def test_a_router_within_a_chain_is_read_back(stage: Stage, router: RoutingChatModel) -> None:
    chain = ChatPromptTemplate.from_template("What is {colour}?") | router.bind(tier="small")
    objects: Any = [*allowed(), RoutingChatModel]
    again = loads(dumps(chain), allowed_objects=objects, valid_namespaces=["langchain_slmroute"])
    assert record_of(again.invoke({"colour": "blue"}))["tier"] == "small"


def test_a_router_is_among_all_that_langchain_reads_back_where_its_namespace_is_named(router: RoutingChatModel) -> None:
    written = dumps(ChatPromptTemplate.from_template("What is {colour}?") | router)
    again = loads(written, allowed_objects="all", valid_namespaces=["langchain_slmroute"])
    assert policy_of(again.last) == policy_of(router)


@pytest.mark.parametrize("objects", ["all", "core", "messages", [ChatPromptTemplate]], ids=str)
def test_a_router_is_not_read_back_unasked(router: RoutingChatModel, objects: Any) -> None:
    with pytest.raises(ValueError, match=r"not allowed|Invalid namespace"):
        loads(dumps(router), allowed_objects=objects)


def test_a_router_is_listed_though_langchain_read_before(
    router: RoutingChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LangChain works out once what it may read: by then the router's package need not have been imported."""
    reading = import_module("langchain_core.load.load")
    path = tuple(RoutingChatModel.lc_id())
    without = {key: value for key, value in reading.ALL_SERIALIZABLE_MAPPINGS.items() if key != path}
    monkeypatch.setattr(reading, "ALL_SERIALIZABLE_MAPPINGS", without)
    monkeypatch.setattr(reading, "_default_class_paths_cache", {})
    written = dumps(router)
    with pytest.raises(ValueError, match="not allowed"):
        loads(written, allowed_objects="all", valid_namespaces=["langchain_slmroute"])
    list_for_loading(*path)
    again = loads(written, allowed_objects="all", valid_namespaces=["langchain_slmroute"])
    assert policy_of(again) == policy_of(router)


def allowed() -> list[type]:
    from langchain_core.messages import HumanMessage
    from langchain_core.prompts import HumanMessagePromptTemplate, PromptTemplate
    from langchain_core.runnables import RunnableBinding, RunnableSequence

    return [
        ChatPromptTemplate,
        HumanMessage,
        HumanMessagePromptTemplate,
        PromptTemplate,
        RunnableBinding,
        RunnableSequence,
    ]


def test_a_router_with_model_objects_is_written_with_a_mark_and_not_read_back(stage: Stage) -> None:
    written = dumps(stage.router())
    assert "canary" not in written
    assert '"not_implemented"' in written
    with pytest.raises(NotImplementedError):
        read_back(written)


@pytest.mark.parametrize(
    "settings",
    [
        {"hooks": [print]},
        {"rules": [lambda request: None]},
        {"budget": Budget(day=20)},
        {"classifier": simple},
        {"escalation": Confidence(0.85, judge=lambda request, answer: 0.9)},
    ],
    ids=["hooks", "rules", "budget", "classifier", "judge"],
)
def test_what_cannot_be_written_is_never_left_out_in_silence(stage: Stage, settings: dict[str, Any]) -> None:
    written = dumps(RoutingChatModel(tiers=stage.strings(), **settings))
    with pytest.raises(NotImplementedError):
        read_back(written)


def test_load_takes_what_dumpd_gives(router: RoutingChatModel) -> None:
    again = load(dumpd(router), allowed_objects=[RoutingChatModel], valid_namespaces=["langchain_slmroute"])
    assert policy_of(again) == policy_of(router)


def test_a_router_with_tiers_given_as_strings_is_pickled(stage: Stage) -> None:
    router = RoutingChatModel(tiers=stage.strings(), classifier=simple, escalation=Confidence(0.85))
    router.invoke("What is blue?")
    again = unpickled(pickle.dumps(router))
    assert again.shared.engine is not router.shared.engine
    assert record_of(again.invoke("What is blue?"))["tier"] == "small"


def test_a_pickle_holds_no_secret_and_takes_the_key_of_the_environment(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = RoutingChatModel(tiers=stage.strings(), default_tier="big", classifier=None, api_key="canary-of-router")
    written = pickle.dumps(router)
    assert b"canary" not in written
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Misconfigured, match=r"'big'.*OPENAI_API_KEY"):
        unpickled(written).invoke("What is blue?", tier="big")
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    assert record_of(unpickled(written).invoke("What is blue?", tier="big"))["tier"] == "big"
    assert router.tiers[1].model_args == stage.strings()[1].model_args, "the router itself keeps its key"


def test_a_bound_and_a_structured_router_are_pickled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of-the-environment")
    router = RoutingChatModel(tiers=stage.strings(), classifier=simple)
    bound = unpickled(pickle.dumps(router.bind_tools([add])))
    assert bound.invoke("What is blue?").text == "A small draft it is."
    assert stage.server.calls()[-1].body["tools"]


def test_a_router_with_model_objects_is_pickled_no_more_than_they_are(stage: Stage) -> None:
    for model in (stage.bare_big(), stage.bare_small(), stage.router()):
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            pickle.dumps(model)


@pytest.mark.parametrize("strings", [False, True], ids=["objects", "strings"])
def test_a_router_is_deeply_copied(stage: Stage, strings: bool) -> None:
    tiers = stage.strings() if strings else [stage.small(), stage.big()]
    router = stage.router(tiers=tiers, tags=["a"], metadata={"who": {"is": "me"}})
    for copied in (copy.deepcopy(router), copy.copy(router), router.model_copy(deep=True), router.model_copy()):
        assert copied.shared is router.shared
        assert record_of(copied.invoke("What is blue?"))["tier"] == "small"
    deep = copy.deepcopy(router)
    assert deep.tags is not router.tags
    assert deep.metadata is not None
    assert router.metadata is not None
    assert deep.metadata["who"] is not router.metadata["who"]


def test_a_bound_router_is_deeply_copied(stage: Stage) -> None:
    bound = copy.deepcopy(stage.router().bind_tools([add]))
    assert bound.invoke("What is blue?").text == "A small draft it is."


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


SECRETS = {
    "api_key": "canary-key",
    "default_headers": {"authorization": "canary-header"},
    "base_url": "https://me:canary-password@host/v1?key=canary-query",
    "model_kwargs": {"extra": [{"token": "canary-token"}]},
}


def test_a_dump_masks_secrets_as_a_bare_models_does(stage: Stage) -> None:
    assert "canary" not in str(stage.bare_big().model_dump())
    small, _ = stage.strings()
    tiers = [small, Tier("big", "openai:gpt-4.1", model_args=SECRETS)]
    address = "postgresql://me:canary-password@host/db"
    for model in (RoutingChatModel(tiers=tiers, api_key="canary-own"), stage.router()):
        for written in (model.model_dump(), model.model_dump_json(), model.model_dump(mode="json")):
            assert "canary" not in str(written)
    assert "canary" not in str(dumped(address, as_json=False))
    assert isinstance(dumped(address, as_json=False), SecretStr)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"classifier": None, "escalation": Confidence(0.85)},
        {"rules": [simple], "hooks": [print], "budget": Budget(day=20), "availability_errors": [KeyError]},
        {"classifier": simple, "escalation": Confidence(0.85, judge=lambda request, answer: 0.9)},
        {"prices": {"big": (2, "8")}, "validate": {"empty"}, "ledger": None},
    ],
    ids=["plain", "cascade", "objects", "callables", "prices"],
)
def test_every_router_is_dumped_as_json(stage: Stage, settings: dict[str, Any]) -> None:
    for tiers in (stage.strings(), [stage.small(), stage.big()]):
        written = json.loads(RoutingChatModel(tiers=tiers, **settings).model_dump_json())
        assert [tier["name"] for tier in written["tiers"]] == ["small", "big"]


def test_a_dump_makes_the_same_router_again(stage: Stage) -> None:
    router = RoutingChatModel(tiers=stage.strings(), rules=[lambda request: "big"], temperature=0.25)
    again = RoutingChatModel(**router.model_dump(exclude={"profile"}))
    assert record_of(again.invoke("What is blue?"))["tier"] == "big"
    assert stage.server.calls(BIG)[-1].authorized


def test_the_users_own_profile_is_written(stage: Stage) -> None:
    given: Any = {"max_input_tokens": 77}
    assert read_back(dumps(RoutingChatModel(tiers=stage.strings(), profile=given))).profile == given
