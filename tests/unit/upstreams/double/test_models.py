"""The list of models."""

import json

from deepseek_messages.upstreams.double.models import AUTUMN_2025, CURRENT, Hosted, listing


def test_the_list_of_july_2026_byte_for_byte():
    names = {
        name: Hosted(id=name, version=CURRENT["deepseek-flash"].version)
        for name in ("deepseek-v4-flash", "deepseek-v4-pro")
    }
    assert json.dumps(listing(names, enlarged=False), separators=(",", ":")) == (
        '{"object":"list","data":[{"id":"deepseek-v4-flash","object":"model","owned_by":"deepseek"}'
        ',{"id":"deepseek-v4-pro","object":"model","owned_by":"deepseek"}]}'
    )


def test_aliases_are_not_listed():
    assert [each["id"] for each in listing(CURRENT, enlarged=False)["data"]] == [
        "deepseek-flash",
        "deepseek-v4-pro",
    ]
    assert len(listing(AUTUMN_2025, enlarged=False)["data"]) == 2


def test_the_list_of_today_says_what_a_model_can_do():
    flash, pro = listing(CURRENT, enlarged=True)["data"]
    assert flash["context_window"] == 1_048_576
    assert flash["max_output_tokens"] == 393_216
    assert (flash["input_modalities"], pro["input_modalities"]) == (["text", "image"], ["text"])
    assert [each["api_capabilities"]["anthropic_messages"] for each in (flash, pro)] == [
        {"system_prompt_update": "in-history"},
        {"system_prompt_update": "leading-only"},
    ]
