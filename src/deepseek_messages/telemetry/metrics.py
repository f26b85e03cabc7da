"""Every metric, in one table, in a registry of its own. Names follow Prometheus' conventions."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from deepseek_messages.telemetry.record import RequestRecord

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
        help="With several upstreams: tries at each, by outcome: served, or the kind of fault.",
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
    """The live values of the table. One per application, never global."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, *, process: bool = True) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        if process:
            ProcessCollector(namespace=PREFIX, registry=self._registry)
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        for metric in METRICS:
            self._add(metric)
        self._children: dict[tuple[str, ...], Counter | Histogram] = {}
        self.open_requests = self._gauges["open_requests"]
        self.open_streams = self._gauges["open_streams"]

    def _add(self, metric: Metric) -> None:
        name = f"{PREFIX}_{metric.name}"
        match metric.kind:
            case "counter":
                self._counters[metric.name] = Counter(
                    name, metric.help, metric.labels, registry=self._registry
                )
            case "gauge":
                self._gauges[metric.name] = Gauge(
                    name, metric.help, metric.labels, registry=self._registry
                )
            case "histogram":
                self._histograms[metric.name] = Histogram(
                    name, metric.help, metric.labels, registry=self._registry, buckets=BUCKETS
                )

    def observe(self, record: RequestRecord, route: str) -> None:
        """Count a request that has ended. ``route`` is its path template."""
        outcome = record.outcome.value if record.outcome else ""
        self._count("requests", route, str(record.status), outcome)
        self._time("request_duration_seconds", record.seconds, route)
        if record.first_event is not None:
            seconds = record.first_event - record.started
            self._time("time_to_first_event_seconds", seconds, record.model)
        if record.fault:
            self._count("upstream_faults", record.upstream, record.fault)
        if record.tokens is not None:
            self._count_tokens(record)
        self._count_notes(record.notes)

    def attempt(self, upstream: str, outcome: str) -> None:
        """Count one try at one of several upstreams."""
        self._count("upstream_attempts", upstream, outcome)

    def members(self, states: Iterable[tuple[str, str, int]]) -> None:
        """Set how several upstreams fare now: name, health and requests of each."""
        health, load = self._gauges["upstream_health"], self._gauges["upstream_open_requests"]
        health.clear()
        load.clear()
        for name, state, requests in states:
            health.labels(name, state).set(1)
            load.labels(name).set(requests)

    def _count_tokens(self, record: RequestRecord) -> None:
        assert record.tokens is not None
        for kind, number in (
            ("input", record.tokens.input),
            ("cache_read", record.tokens.cache_read),
            ("cache_creation", record.tokens.cache_creation),
            ("output", record.tokens.output),
        ):
            if number > 0:
                self._count("tokens", record.model, kind, by=number)

    def _count_notes(self, notes: Sequence[str]) -> None:
        for note in notes:
            self._count("notes", note.partition("=")[0])

    def _count(self, name: str, *labels: str, by: float = 1) -> None:
        child = self._children.get((name, *labels))
        if child is None:
            child = self._children[name, *labels] = self._counters[name].labels(*labels)
        assert isinstance(child, Counter)
        child.inc(by)

    def _time(self, name: str, seconds: float, *labels: str) -> None:
        child = self._children.get((name, *labels))
        if child is None:
            child = self._children[name, *labels] = self._histograms[name].labels(*labels)
        assert isinstance(child, Histogram)
        child.observe(seconds)

    def render(self) -> bytes:
        """All values in Prometheus' text format."""
        return generate_latest(self._registry)
