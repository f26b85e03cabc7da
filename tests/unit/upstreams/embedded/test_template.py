import pytest

from deepseek_messages.upstreams.embedded.template import choose_template

CHATML = "{% for m in messages %}<|im_start|>{{ m['role'] }}{% endfor %}"


def test_a_template_with_tools_is_kept():
    chosen = choose_template(CHATML + "{% if tools %}x{% endif %}")
    assert (chosen.override, chosen.tools, chosen.thinks) == ("", True, False)


def test_a_chatml_template_without_tools_gets_ours():
    chosen = choose_template(CHATML)
    assert "<tool_call>" in chosen.override
    assert chosen.tools


def test_the_models_own_system_message_stays():
    own = CHATML + "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    assert "named SmolLM" in choose_template(own).override
    assert "SmolLM" not in choose_template(CHATML).override


@pytest.mark.parametrize("own", ["", "[INST]{{ messages[0]['content'] }}[/INST]"])
def test_other_templates_without_tools_stay_and_have_none(own):
    chosen = choose_template(own)
    assert (chosen.override, chosen.tools) == ("", False)


def test_thinking_is_told_from_the_template():
    assert choose_template(CHATML + "{% if tools %}<think>{% endif %}").thinks
