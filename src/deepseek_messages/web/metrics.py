"""``GET /metrics``."""

from collections.abc import Callable, Sequence

from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.upstreams.pool.member import MemberState
from deepseek_messages.web.exchange import Exchange


class MetricsHandler:
    """All metrics in Prometheus' text format."""

    def __init__(
        self, metrics: Metrics, states: Callable[[], Sequence[MemberState]] = lambda: ()
    ) -> None:
        self._metrics = metrics
        self._states = states

    async def __call__(self, exchange: Exchange) -> None:
        """Render them now."""
        states = self._states()
        self._metrics.members((each.name, each.health.value, each.load) for each in states)
        content_type = self._metrics.content_type.encode()
        await exchange.reply(200, self._metrics.render(), content_type=content_type)
