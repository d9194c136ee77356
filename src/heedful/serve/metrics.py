"""Metrics in Prometheus' format: https://prometheus.io/docs/instrumenting/exposition_formats/"""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "heedful_requests", "Requests by endpoint and status.", ["endpoint", "status"],
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "heedful_request_seconds", "From a request's header to the end of its answer.", ["endpoint"],
            registry=self.registry,
        )  # fmt: skip
        self.inputs = Counter(
            "heedful_inputs", "Inputs that were predicted.", ["model"], registry=self.registry
        )
        self.batch_inputs = Histogram(
            "heedful_batch_inputs", "Inputs of a batch.", ["model"],
            buckets=[1, 2, 4, 8, 16, 32, 64, 128, 256, 512], registry=self.registry,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "heedful_batch_seconds", "Seconds of a batch.", ["model"], registry=self.registry
        )
        self.queued = Gauge(
            "heedful_queued_inputs", "Inputs that wait for a batch.", ["model"],
            registry=self.registry,
        )  # fmt: skip
        self.abandoned = Counter(
            "heedful_abandoned_requests", "Requests whose client went away.", registry=self.registry
        )

    def batch(self, model: str, inputs: int, seconds: float) -> None:
        """Count a batch."""
        self.inputs.labels(model).inc(inputs)
        self.batch_inputs.labels(model).observe(inputs)
        self.batch_seconds.labels(model).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics."""
        return generate_latest(self.registry)
