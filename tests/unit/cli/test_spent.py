"""What a session used, out of the metrics."""

from datetime import UTC, datetime

from deepseek_messages.cli.spent import Spent, Tokens, parse_spent, read_spent
from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.telemetry.record import Outcome, RequestRecord
from deepseek_messages.telemetry.record import Tokens as Recorded

OFF_PEAK = datetime(2026, 11, 22, 12, tzinfo=UTC)  # a Sunday


def answered(metrics: Metrics, model: str, tokens: Recorded, route: str = "/v1/messages") -> None:
    record = RequestRecord("req_1", model=model, status=200, outcome=Outcome.SERVED)
    record.tokens = tokens
    record.mark_ended()
    metrics.observe(record, route)


def test_metrics_are_read_back() -> None:
    metrics = Metrics(process=False)
    answered(metrics, "a", Recorded(input=10, cache_read=90, output=5))
    answered(metrics, "a", Recorded(input=1, cache_creation=2, output=5))
    answered(metrics, "b", Recorded(input=7))
    answered(metrics, "", Recorded(), route="/v1/models")
    spent = parse_spent(metrics.render().decode())
    assert spent.messages == 3
    assert spent.tokens["a"] == Tokens(input=11, cache_read=90, cache_creation=2, output=10)
    assert spent.tokens["b"] == Tokens(input=7)


def test_what_others_used_before_is_taken_off() -> None:
    before = Spent(4, {"a": Tokens(input=5, output=1)})
    after = Spent(6, {"a": Tokens(input=9, output=4), "b": Tokens(output=2)})
    assert after - before == Spent(2, {"a": Tokens(input=4, output=3), "b": Tokens(output=2)})


def test_line_tells_tokens_share_and_cost() -> None:
    used = Tokens(input=250_000, cache_read=750_000, output=10_000)
    text = Spent(12, {"deepseek-flash": used}).text(OFF_PEAK)
    # 0.25 M at 0.15 + 0.75 M at 0.003 + 0.01 M at 0.60
    assert text == (
        "12 messages, 1,000,000 tokens in (75% from the cache), 10,000 tokens out, "
        "$0.0458 at DeepSeek's prices"
    )


def test_model_without_a_price_has_no_cost() -> None:
    spent = Spent(1, {"deepseek-flash": Tokens(input=10), "smollm2": Tokens(input=10)})
    assert spent.text(OFF_PEAK) == "1 message, 20 tokens in (0% from the cache), 0 tokens out"


def test_model_that_was_not_used_does_not_hide_the_cost() -> None:
    spent = Spent(1, {"deepseek-flash": Tokens(output=1_000_000), "smollm2": Tokens()})
    assert spent.text(OFF_PEAK).endswith("$0.6000 at DeepSeek's prices")


def test_server_that_is_gone_tells_nothing() -> None:
    assert read_spent("http://127.0.0.1:9/anthropic") is None
