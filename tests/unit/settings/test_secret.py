"""Secrets do not show themselves."""

from deepseek_messages.settings import Secret, load_settings


def test_settings_can_be_printed_without_their_secrets() -> None:
    settings = load_settings(
        None,
        {"DEEPSEEK_API_KEY": "sk-hidden", "DEEPSEEK_MESSAGES_TELEMETRY_METRICS_KEY": "mk-hidden"},
        {},
    )
    assert "hidden" not in f"{settings} {settings!r} {settings.upstream.api_key}"


def test_reveal_gives_the_value_without_stray_spaces() -> None:
    assert Secret(" sk-1\n").reveal() == "sk-1"


def test_equal_by_value() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a")}) == 1
