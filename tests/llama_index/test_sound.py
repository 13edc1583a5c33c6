"""Gemini lists the details of its tokens by what they are of: sound has a price of its own."""

from __future__ import annotations

from llama_index.core.llms import ChatMessage, ChatResponse

from llama_index_slmroute.answers import usage_of


def test_geminis_sound_is_counted_as_sound() -> None:
    told = {
        "prompt_token_count": 1000,
        "candidates_token_count": 20,
        "prompt_tokens_details": [
            {"modality": "AUDIO", "token_count": 900},
            {"modality": "TEXT", "token_count": 100},
        ],
        "candidates_tokens_details": [{"modality": "AUDIO", "token_count": 15}],
    }
    usage = usage_of([ChatResponse(message=ChatMessage("Yes."), raw={"usage_metadata": told})])
    assert usage is not None
    assert (usage.input_tokens, usage.audio_input_tokens, usage.audio_output_tokens) == (1000, 900, 15)
