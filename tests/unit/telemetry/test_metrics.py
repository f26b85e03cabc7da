"""The table of metrics, and what a record adds to it."""

import pytest

from deepseek_messages.telemetry.metrics import METRICS, Metrics
from deepseek_messages.telemetry.record import Outcome, RequestRecord, Tokens


def told(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_metric_is_exported_with_its_help(metric: object) -> None:
    name = f"deepseek_messages_{metric.name}"  # type: ignore[attr-defined]
    if metric.kind == "counter":  # type: ignore[attr-defined]
        name += "_total"
    assert f"# HELP {name} {metric.help}" in told(Metrics())  # type: ignore[attr-defined]


def test_two_applications_do_not_share_values() -> None:
    first, second = Metrics(), Metrics()
    first.open_streams += 1
    assert "deepseek_messages_open_streams 0.0" in told(second)


def test_a_record_is_counted_once_everywhere() -> None:
    metrics = Metrics(process=False)
    record = RequestRecord("req_1", status=200, outcome=Outcome.SERVED, model="m", upstream="u")
    record.tokens = Tokens(input=5, output=2)
    record.notes = ("replaced=image@messages.0", "replaced=image@messages.1", "ignored=top_k")
    record.mark_first_event()
    record.mark_ended()
    metrics.observe(record, "/v1/messages")
    lines = told(metrics)
    for line in (
        'requests_total{outcome="served",route="/v1/messages",status="200"} 1.0',
        'request_duration_seconds_count{route="/v1/messages"} 1.0',
        'time_to_first_event_seconds_count{model="m"} 1.0',
        'tokens_total{kind="input",model="m"} 5.0',
        'tokens_total{kind="output",model="m"} 2.0',
        'notes_total{action="replaced"} 2.0',
        'notes_total{action="ignored"} 1.0',
    ):
        assert f"deepseek_messages_{line}" in lines
    assert not any("upstream_faults_total{" in line for line in lines)


def test_a_fault_is_counted_by_its_kind() -> None:
    metrics = Metrics(process=False)
    record = RequestRecord("r", status=502, outcome=Outcome.FAULT, fault="cut", upstream="u")
    metrics.observe(record, "/v1/messages")
    assert 'deepseek_messages_upstream_faults_total{kind="cut",upstream="u"} 1.0' in told(metrics)
