"""What a session used, out of the server's metrics: requests, tokens, cache hits, cost."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deepseek_messages.telemetry.metrics import PREFIX
from deepseek_messages.translation.prices import cost, price_at
from deepseek_messages.wire.messages import Usage

KINDS = ("input", "cache_read", "cache_creation", "output")

METRICS_SECONDS = 5.0


class Tokens(Struct, frozen=True):
    """Tokens of one model."""

    input: int = 0
    cache_read: int = 0
    cache_creation: int = 0
    output: int = 0

    def __sub__(self, other: "Tokens") -> "Tokens":
        return Tokens(*(getattr(self, kind) - getattr(other, kind) for kind in KINDS))

    @property
    def prompt(self) -> int:
        """The whole prompt."""
        return self.input + self.cache_read + self.cache_creation


class Spent(Struct, frozen=True):
    """What a server has used: messages answered, and tokens by model."""

    messages: int
    tokens: dict[str, Tokens]

    def __sub__(self, earlier: "Spent") -> "Spent":
        tokens = {
            model: used - earlier.tokens.get(model, Tokens()) for model, used in self.tokens.items()
        }
        return Spent(self.messages - earlier.messages, tokens)

    def cost(self, when: datetime) -> Decimal | None:
        """US dollars at DeepSeek's prices; ``None`` when one of the models has none."""
        total = Decimal(0)
        for model, used in self.tokens.items():
            if used == Tokens():
                continue
            price = price_at(model, when)
            if price is None:
                return None
            total += cost(_usage(used), price)
        return total

    def text(self, when: datetime | None = None) -> str:
        """One line for people."""
        prompt = sum(used.prompt for used in self.tokens.values())
        cached = sum(used.cache_read for used in self.tokens.values())
        output = sum(used.output for used in self.tokens.values())
        share = f" ({cached / prompt:.0%} from the cache)" if prompt else ""
        parts = [
            f"{self.messages:,} message{'' if self.messages == 1 else 's'}",
            f"{prompt:,} tokens in{share}",
            f"{output:,} tokens out",
        ]
        dollars = self.cost(when or datetime.now(UTC))
        if dollars:
            parts.append(f"${dollars:.4f} at DeepSeek's prices")
        return ", ".join(parts)


def _usage(used: Tokens) -> Usage:
    return Usage(
        input_tokens=used.input,
        cache_creation_input_tokens=used.cache_creation,
        cache_read_input_tokens=used.cache_read,
        output_tokens=used.output,
    )


def read_spent(url: str) -> Spent | None:
    """What the server at ``url`` has used since its start; ``None`` when it does not tell us."""
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.netloc, timeout=METRICS_SECONDS)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return parse_spent(text) if answer.status == 200 else None


def parse_spent(text: str) -> Spent:
    """Out of the metrics' text format."""
    samples = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    ]
    tokens: dict[str, dict[str, int]] = {}
    for sample in _named(samples, "tokens_total"):
        of_model = tokens.setdefault(sample.labels["model"], {})
        kind = sample.labels["kind"]
        of_model[kind] = of_model.get(kind, 0) + int(sample.value)
    messages = sum(
        int(sample.value)
        for sample in _named(samples, "requests_total")
        if sample.labels["route"] == "/v1/messages"
    )
    known = {
        model: Tokens(*(kinds.get(kind, 0) for kind in KINDS)) for model, kinds in tokens.items()
    }
    return Spent(messages, known)


def _named(samples: Iterable[Sample], name: str) -> list[Sample]:
    return [sample for sample in samples if sample.name == f"{PREFIX}_{name}"]
