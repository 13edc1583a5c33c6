"""Sound, documents and films go to tiers that take them."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import AudioBlock, DocumentBlock, VideoBlock
from llama_index.core.llms import ChatMessage, TextBlock

from slmroute import NoEligibleTier
from slmroute.testing import FakeServer, Reply

FRONTIER = "gpt-4.1"
MEDIA = {
    "audio": AudioBlock(audio=b"RIFF0000WAVE", format="wav"),
    "files": DocumentBlock(data=b"%PDF-1.4", document_mimetype="application/pdf", title="x.pdf"),
    "video": VideoBlock(video=b"0000ftyp", video_mimetype="video/mp4"),
}


@pytest.mark.parametrize("media", ["audio", "files"])
@pytest.mark.parametrize("strings", [False, True], ids=["objects", "strings"])
def test_what_ollama_takes_of_no_model_goes_to_another_tier(
    bench: Any, server: FakeServer, media: str, strings: bool
) -> None:
    server.script(FRONTIER, Reply("A tone."))
    made = bench(strings=strings)
    message = ChatMessage(role="user", blocks=[TextBlock(text="What is this?"), MEDIA[media]])
    assert made.llm.chat([message]).message.content == "A tone."
    assert made.tiers == ["frontier"]


def test_who_may_take_none_of_it_is_said(bench: Any) -> None:
    for media, block in MEDIA.items():
        with pytest.raises(NoEligibleTier, match=f"small: no {media}"):
            bench(local_only=True).llm.chat([ChatMessage(role="user", blocks=[block])])
    with pytest.raises(NoEligibleTier, match="frontier: no video"):
        bench().llm.chat([ChatMessage(role="user", blocks=[MEDIA["video"]])])
