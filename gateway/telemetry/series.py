"""The series of a metric by their labels: the library looks them up under a lock, which costs more than to count."""

from typing import TypeVar

from prometheus_client.metrics import MetricWrapperBase

_Metric = TypeVar("_Metric", bound=MetricWrapperBase)


class Series(dict[tuple[str, ...], _Metric]):
    """Of one metric; those that are not there yet begin at 0. Their number is bounded by who makes the labels."""

    def __init__(self, metric: _Metric) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> _Metric:
        found = self[labels] = self._metric.labels(*labels)
        return found
