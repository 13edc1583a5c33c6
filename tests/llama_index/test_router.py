"""A router as an object: made, copied, written down, described."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from llama_index.llms.openai import OpenAI
from pydantic import BaseModel, SecretStr

from llama_index_slmroute import DryRunLLM, RouteCallbackHandler, RoutingLLM
from slmroute import Confidence, ConfigError, EmbeddedClassifier, Tier, UnknownTier
from slmroute.errors import Misconfigured
from slmroute.plain import address_data, without_secrets
from slmroute.testing import FakeServer, Reply

SMALL, FRONTIER = "llama3.1:8b", "gpt-4.1"
KEY = "canary-of-a-key"
HELLO = [ChatMessage(content="Hello?")]
SURE = Reply("Well, hello.", logprobs=[-0.01] * 2)


class Floors(BaseModel):
    """How many floors."""

    count: int


def strings(**settings: Any) -> RoutingLLM:
    tiers = [
        Tier("small", f"ollama:{SMALL}", local=True, input_price="0.05", output_price="0.08"),
        Tier("frontier", f"openai:{FRONTIER}", model_args={"api_key": KEY, "default_headers": {"authorization": KEY}}),
    ]
    return RoutingLLM(tiers=tiers, **settings)


def test_the_plain_router_has_the_embedded_classifier_and_its_threshold() -> None:
    llm = strings()
    assert isinstance(llm.classifier, EmbeddedClassifier)
    assert llm.engine.policy.thresholds == (pytest.approx(EmbeddedClassifier().threshold, abs=1e-3),)
    assert [tier.name for tier in llm.tiers] == ["small", "frontier"]


def test_presets_make_the_three_patterns() -> None:
    assert [tier.name for tier in RoutingLLM.binary().tiers] == ["small", "frontier"]
    three = RoutingLLM.three_tier(host="http://127.0.0.1:1")
    assert [tier.name for tier in three.tiers] == ["micro", "mid", "frontier"]
    assert list(three.engine.policy.thresholds) == [0.35, 0.7]
    cascade = RoutingLLM.cascade(escalation=Confidence(0.7))
    assert cascade.classifier is None
    assert cascade.engine.policy.escalation == Confidence(0.7)


def test_a_file_makes_a_router(tmp_path: Path) -> None:
    path = tmp_path / "slmroute.toml"
    path.write_text(
        '[[tiers]]\nname = "small"\nmodel = "ollama:phi3:mini"\nlocal = true\n'
        '[[tiers]]\nname = "big"\nmodel = "openai:gpt-4.1"\n'
    )
    assert [tier.name for tier in RoutingLLM.from_config(path).tiers] == ["small", "big"]


def test_settings_that_are_wrong_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean threshold"):
        strings(treshold=0.4)
    with pytest.raises(ConfigError, match="needs tiers="):
        RoutingLLM()
    with pytest.raises(ConfigError, match="no LLM of LlamaIndex"):
        RoutingLLM(tiers=[Tier("a", object()), Tier("b", "openai:gpt-4.1")])
    with pytest.raises(ConfigError, match="context_window="):
        strings(context_window="tiny")
    with pytest.raises(UnknownTier, match="default_tier"):
        strings(default_tier="frontera")
    with pytest.raises(ConfigError, match="cannot be built from a string"):
        RoutingLLM(tiers=[Tier("a", "acme:x"), Tier("b", "openai:gpt-4.1")], classifier=None).chat(HELLO)
    with pytest.raises(ConfigError, match="Did you mean 'ollama:gemma2:2b'"):
        RoutingLLM(tiers=[Tier("a", "olama:gemma2:2b"), Tier("b", "openai:gpt-4.1")], classifier=None).chat(HELLO)


def test_its_metadata_is_the_tiers_smallest_common_part() -> None:
    metadata = strings().metadata
    assert metadata.context_window == 4096
    assert metadata.num_output == 256
    assert metadata.is_chat_model is True
    assert metadata.is_function_calling_model is True
    assert metadata.model_name == "slmroute"


def test_the_window_it_states_can_be_chosen() -> None:
    assert strings(context_window="largest").metadata.context_window == 1_047_576
    assert strings(context_window=16_000).metadata.context_window == 16_000
    frontier = OpenAI(model=FRONTIER, api_key=KEY)
    both = RoutingLLM(tiers=[Tier("a", frontier), Tier("b", frontier)], classifier=None)
    assert both.metadata.num_output == -1
    local = RoutingLLM(tiers=[Tier("a", frontier), Tier("b", f"ollama:{SMALL}", local=True)], local_only=True)
    assert local.metadata.context_window == 4096


def test_its_metadata_can_be_read_while_a_server_is_down() -> None:
    down = Ollama(model=SMALL, base_url="http://127.0.0.1:9")
    llm = RoutingLLM(tiers=[Tier("small", down), Tier("frontier", f"openai:{FRONTIER}")])
    assert llm.metadata.context_window == 3900
    assert llm.metadata.is_function_calling_model is True


def test_a_router_without_tool_calling_tiers_says_so() -> None:
    llm = RoutingLLM(tiers=[Tier("a", MockLLM()), Tier("b", MockLLM())], classifier=None)
    assert llm.metadata.is_function_calling_model is False
    assert llm.chat(HELLO).message.additional_kwargs["slmroute"]["tier"] == "a"


def test_it_is_written_without_secrets_and_read_back() -> None:
    llm = strings(
        threshold=0.4, escalation=Confidence(0.8), validate={"empty"}, api_key=KEY, temperature=0.2, deadline_s=9
    )
    written = json.dumps(llm.to_dict())
    assert KEY not in written
    assert KEY not in llm.to_json()
    assert KEY not in repr(llm)
    read = RoutingLLM.from_dict(json.loads(written))
    assert next((tier.name, tier.model, tier.input_price) for tier in read.tiers) == (
        "small",
        f"ollama:{SMALL}",
        llm.tiers[0].input_price,
    )
    assert read.engine.policy.thresholds == (0.4,)
    assert read.escalation == Confidence(0.8)
    assert read.checks == ["empty"]
    assert (read.temperature, read.deadline_s) == (0.2, 9)
    assert read.to_dict() == llm.to_dict()


def test_a_ledger_is_written_by_its_address_unless_that_holds_a_password(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/slmroute.db"
    llm = strings(ledger=url)
    assert llm.to_dict()["ledger"] == url
    ledger: Any = llm.engine.ledger
    ledger.close()
    secret = llm.model_copy()
    # As if made with it: a router keeps its ledger, and this one's server is not there.
    secret.__dict__["ledger"] = f"postgresql://me:{KEY}@127.0.0.1/slmroute"
    assert "ledger" not in secret.to_dict()
    assert KEY not in repr(secret)


def test_it_pickles_with_all_its_settings(server: FakeServer) -> None:
    server.script(SMALL, SURE)
    small = Tier("small", f"ollama:{SMALL}", model_args={"base_url": server.url})
    llm = RoutingLLM(
        tiers=[small, Tier("frontier", OpenAI(model=FRONTIER, api_key=KEY))], classifier=None, system_prompt="Be terse."
    )
    llm.chat(HELLO)
    read = pickle.loads(pickle.dumps(llm))  # noqa: S301
    assert read.chat(HELLO).message.content == "Well, hello."
    assert read.system_prompt == "Be terse."
    assert read.engine is not llm.engine


def test_it_is_pickled_without_callbacks_that_cannot_be(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Tracer(RouteCallbackHandler):
        def __reduce__(self) -> Any:
            raise TypeError("it holds a connection")

    llm = bench(strings=True, classifier=None, ledger=None).llm
    for handler, kept in ((TokenCountingHandler(), 1), (Tracer(), 0)):
        llm.callback_manager = CallbackManager([handler])
        read = pickle.loads(pickle.dumps(llm))  # noqa: S301
        assert len(read.callback_manager.handlers) == kept
        assert llm.callback_manager.handlers == [handler]
    assert caplog.text.count("without its callback_manager") == 1


async def test_a_pickle_holds_no_secret_and_takes_the_key_of_the_environment(
    bench: Any, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script(FRONTIER, SURE)
    llm = bench(strings=True, classifier=None, ledger=None, api_key=f"{KEY} of the router").llm
    written = pickle.dumps(llm)
    assert KEY.encode() not in written
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for _ in range(2):
        with pytest.raises(Misconfigured, match=r"'frontier'.*OPENAI_API_KEY"):
            await pickle.loads(written).achat(HELLO, tier="frontier")  # noqa: S301
    monkeypatch.setenv("OPENAI_API_KEY", "of the environment")
    answer = await pickle.loads(written).achat(HELLO, tier="frontier")  # noqa: S301
    assert answer.message.content == "Well, hello."
    # The router itself, and whatever is copied from it, keeps its keys.
    for kept in (llm, copy.copy(llm), copy.deepcopy(llm), llm.model_copy(deep=True)):
        assert kept.tiers[1].model_args["api_key"] == KEY
        assert KEY in kept.api_key.get_secret_value()


def test_a_pickle_holds_no_ledgers_password(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    llm = bench(strings=True, classifier=None, ledger=None).llm
    # As if made with it: a router keeps its ledger, and this one's server is not there.
    llm.__dict__["ledger"] = f"postgresql://me:{KEY}@127.0.0.1/slmroute"
    written = pickle.dumps(llm)
    assert KEY.encode() not in written
    assert "without its ledger=" in caplog.text
    assert KEY not in caplog.text
    assert pickle.loads(written).ledger is None  # noqa: S301


def test_numbers_and_switches_are_no_secrets() -> None:
    kept = {"max_new_tokens": 9, "thinking": {"budget_tokens": 1024}, "skip_special_tokens": True}
    assert without_secrets({**kept, "x": SecretStr(KEY), "auth_token": KEY}) == kept


def test_copies_share_health_and_decide_by_what_was_changed(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, SURE)
    llm = bench().llm
    changed = llm.model_copy(update={"classifier": lambda request: 1.0})
    assert changed.chat(HELLO).message.additional_kwargs["slmroute"]["tier"] == "frontier"
    assert llm.chat(HELLO).message.additional_kwargs["slmroute"]["tier"] == "small"
    assert changed.engine.breakers["small"] is llm.engine.breakers["small"]
    assert copy.deepcopy(llm).engine is llm.engine


def test_the_users_llms_are_not_changed(bench: Any, server: FakeServer) -> None:
    server.script(SMALL, SURE)
    made = bench(escalation=Confidence(0.85))
    mine: Any = made.llm.tiers[0].model
    before = mine.model_dump()
    made.llm.chat(HELLO, temperature=0.9)
    made.llm.chat(HELLO)
    assert mine.model_dump() == before
    assert "temperature" not in {k for k, v in made.bodies(SMALL)[1]["options"].items() if v is not None}
    mine.chat(HELLO)
    assert "logprobs" not in made.bodies(SMALL)[-1]


def test_a_router_works_in_one_event_loop_after_another(
    bench: Any, server: FakeServer, closed_clients: list[Any]
) -> None:
    server.script(SMALL, SURE)
    server.script(FRONTIER, SURE)
    made = bench(strings=True)

    async def both() -> None:
        await made.llm.achat(HELLO)
        await made.llm.achat(HELLO, tier="frontier")
        while closed_clients:
            await closed_clients.pop().aclose()

    for _ in range(3):
        asyncio.run(both())
    assert made.tiers == ["small", "frontier"] * 3


async def test_no_asynchronous_call_uses_a_synchronous_client(
    bench: Any, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blocks(*args: object, **kwargs: object) -> None:
        raise AssertionError("it would hold up the event loop")

    for client in (ollama.Client, openai.OpenAI):
        for name in ("_request", "request", "chat", "show"):
            if hasattr(client, name):
                monkeypatch.setattr(client, name, blocks)
    server.script(SMALL, Reply('{"count": 6}', logprobs=[-3.0]), window=8000)
    server.script(FRONTIER, Reply('{"count": 6}'))
    tiers = [
        Tier("small", Ollama(model=SMALL, base_url=server.url)),
        Tier("frontier", OpenAI(model=FRONTIER, api_base=server.openai_url, api_key="k", max_retries=0)),
    ]
    llm = RoutingLLM(tiers=tiers, classifier=None, escalation=Confidence(0.85), context_window=4096)
    tool, prompt = FunctionTool.from_defaults(lambda a: a, name="tool"), PromptTemplate("How many?")
    await llm.achat(HELLO)
    await llm.acomplete("Hello?")
    await llm.apredict(prompt)
    await llm.achat_with_tools([tool], user_msg="Hello?")
    await llm.astructured_predict(Floors, prompt)
    streams: list[Any] = [
        await llm.astream_chat(HELLO),
        await llm.astream_complete("Hello?"),
        await llm.astream(prompt),
        await llm.astream_chat_with_tools([tool], user_msg="Hello?"),
        await llm.astream_structured_predict(Floors, prompt),
    ]
    for stream in streams:
        assert [part async for part in stream]
    assert len(server.calls(FRONTIER)) == 10


def test_standard_arguments_reach_tiers_built_from_strings(server: FakeServer) -> None:
    server.script(SMALL, SURE)
    server.script("gpt-9-of-the-future", SURE)
    tiers = [
        Tier("small", f"ollama:{SMALL}", model_args={"base_url": server.url}),
        Tier("frontier", "openai:gpt-9-of-the-future", model_args={"base_url": server.openai_url, "temperature": 0.9}),
    ]
    llm = RoutingLLM(tiers=tiers, classifier=None, temperature=0.3, max_tokens=7, stop=["END"], timeout=5, api_key=KEY)
    llm.chat(HELLO)
    llm.chat(HELLO, tier="frontier")
    small, frontier = (call.body for call in server.calls())
    assert {"temperature": 0.3, "num_predict": 7, "stop": ["END"]}.items() <= small["options"].items()  # type: ignore[attr-defined]
    assert (frontier["temperature"], frontier["max_tokens"], frontier["stop"]) == (0.9, 7, ["END"])
    assert server.calls()[1].authorized


def test_a_dry_run_answers_with_a_note_and_a_projected_cost(server: FakeServer) -> None:
    server.script(SMALL, SURE)
    tiers = [
        Tier("small", f"ollama:{SMALL}", model_args={"base_url": server.url}, input_price="0", output_price="0"),
        Tier("frontier", "dry-run:openai:gpt-4.1"),
    ]
    llm = RoutingLLM(tiers=tiers, classifier=lambda request: float("hard" in request.text))
    record = llm.chat(HELLO).message.additional_kwargs["slmroute"]
    assert record["saved"] is None
    assert float(record["projected"]) > 0
    response = llm.complete("A hard one.")
    assert "dry run" in response.text
    assert response.additional_kwargs["slmroute"]["attempts"][-1]["dry_run"] is True
    assert "".join(chunk.delta or "" for chunk in llm.stream_chat([ChatMessage(content="hard")])).startswith("[dry run")
    with pytest.raises(ValueError, match="dry run"):
        DryRunLLM(model="openai:gpt-4.1").get_tool_calls_from_response(llm.chat(HELLO))


async def test_a_dry_run_is_asynchronous_too() -> None:
    llm = DryRunLLM(model="openai:gpt-4.1", output_tokens=12)
    assert (await llm.achat(HELLO)).raw["usage"]["completion_tokens"] == 12
    assert [chunk.delta async for chunk in await llm.astream_chat(HELLO)] == [(await llm.acomplete("x")).text]
    assert [chunk.delta for chunk in llm.stream_complete("x")] == [
        chunk.delta async for chunk in await llm.astream_complete("x")
    ]


def test_addresses_and_nested_arguments_are_written_without_secrets() -> None:
    args = {
        "base_url": "http://user:canary@127.0.0.1:1/v1?key=canary",
        "client_kwargs": {"auth": ("u", "canary"), "timeout": 3},
        "additional_kwargs": {"hosts": ["http://canary@here/"]},
        "max_tokens": 9,
    }
    tiers = [Tier("small", "ollama:phi3:mini", model_args=args), Tier("frontier", "dry-run:openai:gpt-4.1")]
    llm = RoutingLLM(tiers=tiers, classifier=None, ledger=None)
    for written in (llm.to_json(), str(llm.to_dict()), llm.model_dump_json(), repr(llm.model_dump())):
        assert "canary" not in written
    kept = llm.to_dict()["tiers"][0]["model_args"]
    assert (kept["base_url"], kept["max_tokens"]) == ("http://127.0.0.1:1/v1", 9)
    assert kept["client_kwargs"] == {"timeout": 3}
    assert address_data("postgresql://me@here/db?password=canary") is None
    assert address_data("sqlite:///slmroute.db") == "sqlite:///slmroute.db"


@pytest.mark.parametrize("name", ["hooks", "rules"])
def test_a_callable_in_place_of_a_list_is_named(name: str) -> None:
    tiers = [Tier("small", "ollama:phi3:mini"), Tier("frontier", "dry-run:openai:gpt-4.1")]
    with pytest.raises(ConfigError, match=f"{name}="):
        RoutingLLM(tiers=tiers, **{"classifier": None, name: print})


async def test_metadata_asks_no_server_within_an_event_loop_nor_for_a_window_that_is_stated(server: FakeServer) -> None:
    server.script(SMALL, SURE, window=2000)

    def made(**settings: Any) -> RoutingLLM:
        small = Tier("small", Ollama(model=SMALL, base_url=server.url), local=True)
        return RoutingLLM(tiers=[small, Tier("frontier", "dry-run:openai:gpt-4.1")], classifier=None, **settings)

    llm = made()
    assert llm.metadata.is_function_calling_model
    assert llm.metadata.context_window == DEFAULT_CONTEXT_WINDOW
    assert await asyncio.to_thread(lambda: made(context_window=999).metadata.context_window) == 999
    assert server.requests == []
    # What was only assumed within the loop is not kept: outside one the server is asked, once.
    for _ in range(2):
        assert await asyncio.to_thread(lambda: llm.metadata.context_window) == 2000
    assert [request.path for request in server.requests] == ["/api/show"]
    assert llm.metadata.context_window == 2000


def test_nothing_that_is_written_says_whose_account_is_used() -> None:
    args = {
        "api_key": KEY,
        "default_headers": {"x": KEY},
        "base_url": f"http://me:{KEY}@127.0.0.1:1/v1?key={KEY}",
        "additional_kwargs": {"extra_headers": {"Authorization": KEY}, "organisation_id": KEY, "project": KEY},
        "max_tokens": 9,
    }
    tiers = [
        Tier("small", "openai:gpt-4.1-mini", model_args=args),
        Tier("frontier", OpenAI(model=FRONTIER, api_key=KEY)),
    ]
    llm = RoutingLLM(tiers=tiers, classifier=None, api_key=KEY, ledger=None)
    structured = llm.as_structured_llm(Floors)
    written = [llm.to_json(), llm.model_dump_json(), json.dumps(llm.to_dict()), json.dumps(llm.to_payload())]
    for text in (*written, repr(llm), str(llm), repr(llm.tiers), json.dumps(structured.to_dict())):
        assert KEY not in text
    assert llm.to_dict()["tiers"][0]["model_args"] == {
        "base_url": "http://127.0.0.1:1/v1",
        "additional_kwargs": {},
        "max_tokens": 9,
    }


def test_what_pydantic_writes_it_reads_back() -> None:
    llm = strings(threshold=0.4)
    assert RoutingLLM.model_validate(llm.model_dump()).to_dict() == llm.to_dict()
