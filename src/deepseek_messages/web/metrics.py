"""``GET /metrics``."""

from deepseek_messages.telemetry.metrics import Metrics
from deepseek_messages.web.exchange import Exchange


class MetricsHandler:
    """All metrics in Prometheus' text format."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def __call__(self, exchange: Exchange) -> None:
        """Render them now."""
        content_type = self._metrics.content_type.encode()
        await exchange.reply(200, self._metrics.render(), content_type=content_type)
