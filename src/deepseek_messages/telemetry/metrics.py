"""Every metric, in one table, in a registry of its own. Names follow Prometheus' conventions."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from deepseek_messages.telemetry.record import RequestRecord, Tokens
from deepseek_messages.telemetry.tallies import CounterTally, HistogramTally

PREFIX = "deepseek_messages"

# Seconds. The upper end is Claude Code's and the SDKs' time limit of ten minutes.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metric(Struct, frozen=True, kw_only=True):
    """A row of the table. ``name`` comes without the prefix and without ``_total``."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


# Labels are bounded: routes and enums of ours, and models the upstream serves. A name that a
# client made up is never a label.
METRICS: tuple[Metric, ...] = (
    Metric(
        name="requests",
        kind="counter",
        help="Requests, by route, HTTP status and how they ended.",
        labels=("route", "status", "outcome"),
    ),
    Metric(
        name="request_duration_seconds",
        kind="histogram",
        help="From the request's headers to the last byte of the answer.",
        labels=("route",),
    ),
    Metric(
        name="time_to_first_event_seconds",
        kind="histogram",
        help="From the request's headers to the first event with content of the model.",
        labels=("model",),
    ),
    Metric(
        name="tokens",
        kind="counter",
        help="Tokens of answers, by kind: input, cache_read, cache_creation, output.",
        labels=("model", "kind"),
    ),
    Metric(
        name="upstream_faults",
        kind="counter",
        help="Failures of an upstream, by kind.",
        labels=("upstream", "kind"),
    ),
    Metric(
        name="upstream_attempts",
        kind="counter",
        help="With several upstreams: tries at each, by outcome: served, hedged (given up for a "
        "faster one), or the kind of fault.",
        labels=("upstream", "outcome"),
    ),
    Metric(
        name="upstream_open_requests",
        kind="gauge",
        help="With several upstreams: requests at each now.",
        labels=("upstream",),
    ),
    Metric(
        name="upstream_health",
        kind="gauge",
        help="With several upstreams: 1 for the state each is in: closed (in use), open (left "
        "out) or trial (one request finds out whether it is back).",
        labels=("upstream", "state"),
    ),
    Metric(
        name="notes",
        kind="counter",
        help="Changes that translating a request made, by action.",
        labels=("action",),
    ),
    Metric(name="open_requests", kind="gauge", help="Requests being served now."),
    Metric(name="open_streams", kind="gauge", help="Streamed answers being sent now."),
)


class Metrics:
    """The live values of the table. One per application, never global; used on the event loop's
    thread only.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, *, process: bool = True) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        if process:
            ProcessCollector(namespace=PREFIX, registry=self._registry)
        self._counters: dict[str, CounterTally] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, HistogramTally] = {}
        for metric in METRICS:
            self._add(metric)
        self.open_requests = 0
        self.open_streams = 0
        self._gauges["open_requests"].set_function(lambda: self.open_requests)
        self._gauges["open_streams"].set_function(lambda: self.open_streams)

    def _add(self, metric: Metric) -> None:
        name = f"{PREFIX}_{metric.name}"
        tally: CounterTally | HistogramTally
        match metric.kind:
            case "gauge":
                self._gauges[metric.name] = Gauge(
                    name, metric.help, metric.labels, registry=self._registry
                )
                return
            case "counter":
                tally = self._counters[metric.name] = CounterTally(name, metric.help, metric.labels)
            case "histogram":
                tally = self._histograms[metric.name] = HistogramTally(
                    name, metric.help, metric.labels, BUCKETS
                )
        self._registry.register(tally)

    def observe(self, record: RequestRecord, route: str) -> None:
        """Count a request that has ended. ``route`` is its path template."""
        outcome = record.outcome.value if record.outcome else ""
        self._counters["requests"].add((route, str(record.status), outcome))
        self._histograms["request_duration_seconds"].observe((route,), record.seconds)
        if record.first_event is not None:
            seconds = record.first_event - record.started
            self._histograms["time_to_first_event_seconds"].observe((record.model,), seconds)
        if record.fault:
            self._counters["upstream_faults"].add((record.upstream, record.fault))
        if record.tokens is not None:
            self._count_tokens(record.model, record.tokens)
        for note in record.notes:
            self._counters["notes"].add((note.partition("=")[0],))

    def attempt(self, upstream: str, outcome: str) -> None:
        """Count one try at one of several upstreams."""
        self._counters["upstream_attempts"].add((upstream, outcome))

    def members(self, states: Iterable[tuple[str, str, int]]) -> None:
        """Set how several upstreams fare now: name, health and requests of each."""
        health, load = self._gauges["upstream_health"], self._gauges["upstream_open_requests"]
        health.clear()
        load.clear()
        for name, state, requests in states:
            health.labels(name, state).set(1)
            load.labels(name).set(requests)

    def _count_tokens(self, model: str, tokens: Tokens) -> None:
        counter = self._counters["tokens"]
        for kind, number in (
            ("input", tokens.input),
            ("cache_read", tokens.cache_read),
            ("cache_creation", tokens.cache_creation),
            ("output", tokens.output),
        ):
            if number > 0:
                counter.add((model, kind), number)

    def render(self) -> bytes:
        """All values in Prometheus' text format."""
        return generate_latest(self._registry)
