"""The text for Prometheus: of this process, and of the other lanes of the host, as one view."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from app.lanes.link import ParentLink


class Exposition:
    """What `/metrics` answers.

    Args:
        own: what this process counts.
        shared: what all processes would say alike, for it stands in the registry; asked in a thread.
        link: to the other lanes; None: this process is alone.
    """

    def __init__(self, own: CollectorRegistry, shared: Collector, link: ParentLink | None) -> None:
        self._own = own
        self._shared = CollectorRegistry()
        self._shared.register(shared)
        self._link = link
        if link is not None:
            link.tell_metrics = lambda: generate_latest(own)

    async def text(self) -> bytes:
        """Raises Unavailable when the serving parent does not answer."""
        shared = await asyncio.to_thread(generate_latest, self._shared)
        mine = generate_latest(self._own)
        if self._link is None or self._link.lanes == 1:
            return mine + shared
        texts = {**await self._link.metrics_of_others(), self._link.index: mine}
        return await asyncio.to_thread(_labelled, texts) + shared


def _labelled(texts: Mapping[int, bytes]) -> bytes:
    registry = CollectorRegistry()
    registry.register(LaneMetrics(texts))
    return generate_latest(registry)


class LaneMetrics(Collector):
    """The metrics of all lanes; each sample has the label `lane`.

    Args:
        texts: Prometheus' text of each lane, by its number.
    """

    def __init__(self, texts: Mapping[int, bytes]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for lane, text in sorted(self._texts.items()):
            for family in text_string_to_metric_families(text.decode()):
                found = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                found.samples += [
                    Sample(sample.name, {**sample.labels, "lane": str(lane)}, sample.value) for sample in family.samples
                ]
        yield from families.values()
