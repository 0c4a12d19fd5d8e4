"""When to poll a job: at moments learned from how long such jobs take.

Polls go out with density n(t) = √(h(t) / 2c), h being the hazard of the job's duration and c the seconds of waiting that
one poll is worth (Keller 1974, "Optimum checking schedules for systems subject to random failure"). Durations are taken
as log-normal; mean and variance of their logarithm are learned with exponential weights.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()
#: seconds of waiting that one poll is worth
POLL_WORTH = 0.04
#: the first poll of a model that nothing is known of yet, in seconds
FIRST_POLL = 0.3
#: beyond so many medians the learned curve says nothing of a job
OUTLIER = 5
SLOWEST = 60.0
_WEIGHT = 0.1
_LEARNED = 5
_TINY = 1e-9
#: how sure it is that a job is done by the moment that it is due
_SURE = 0.98
#: deviations before the mean
_EARLIEST = 4.5
_SQRT_2, _SQRT_2_PI = math.sqrt(2), math.sqrt(2 * math.pi)


@dataclass(slots=True)
class Durations:
    """What is known of one kind of job; `mean` and `deviation` are of the logarithm of its seconds."""

    mean: float = math.log(3.0)
    variance: float = 1.0
    seen: int = 0

    def learn(self, seconds: float) -> None:
        value = math.log(max(seconds, 0.001))
        if self.seen == 0:
            self.mean, self.variance = value, 0.25
        else:
            # the first ones count as a plain average would, later ones with a fixed weight
            weight = max(_WEIGHT, 1 / (self.seen + 1))
            change = value - self.mean
            self.mean += weight * change
            self.variance = (1 - weight) * (self.variance + weight * change * change)
        self.seen += 1

    @property
    def median(self) -> float:
        """Seconds."""
        return math.exp(self.mean)

    @property
    def deviation(self) -> float:
        # a floor: the next job may differ from a steady run, and a spike of hazard would poll in one instant
        return max(math.sqrt(self.variance), 0.08)

    def next_poll(self, age: float, worth: float = POLL_WORTH) -> float:
        """The age in seconds at which to poll next, when the last look (or the submit) was at `age`.

        `worth`: seconds of waiting that one poll is worth just now; the less time there is for polls, the more.
        """
        if self.seen < _LEARNED and age < FIRST_POLL:
            return FIRST_POLL
        if self._unforeseen(age):
            # ever slower: a job that hangs for an hour must not spend the account's allowance
            return age + min(max(FIRST_POLL, age / 4), SLOWEST)
        return self._paced(age, worth, min(self._done(age, _SURE), age + max(5.0, self.median)))

    def due(self, age: float, *, certainty: float = _SURE) -> float:
        """The age by which the job is done with `certainty`, given that it was not at `age`."""
        if self._unforeseen(age):
            return self.next_poll(age)
        return max(age + 0.05, self._done(age, certainty))

    def _done(self, age: float, certainty: float) -> float:
        left = self._survival(age) * (1 - certainty)
        return math.exp(self.mean + self.deviation * _NORMAL.inv_cdf(1 - left))

    def _paced(self, age: float, worth: float, latest: float) -> float:
        """Where the integral of n from `age` reaches 1, by steps of a fiftieth of the median; at the latest when it is done."""
        mean, deviation = self.mean, self.deviation
        step = max(0.001, self.median / 50)
        # hardly a job is done before, and no step of it would tell
        time, polls = max(age, math.exp(mean - _EARLIEST * deviation)), 0.0
        while polls < 1.0 and time < latest:
            polls += step * math.sqrt(_hazard(time + step / 2, mean, deviation) / (2 * worth))
            time += step
        return min(time, latest)

    def _unforeseen(self, age: float) -> bool:
        """Is the job older than the learned curve has anything to say of?"""
        return age >= OUTLIER * self.median or self._survival(age) < _TINY

    def _survival(self, age: float) -> float:
        if age <= 0:
            return 1.0
        return 1 - _NORMAL.cdf((math.log(age) - self.mean) / self.deviation)


def _hazard(age: float, mean: float, deviation: float) -> float:
    """Of a job that is so old to end within the next second, were it to stay as likely; 0 where the curve says nothing more."""
    z = (math.log(age) - mean) / deviation
    survival = math.erfc(z / _SQRT_2) / 2
    if survival < _TINY:
        return 0.0
    return math.exp(-z * z / 2) / (_SQRT_2_PI * age * deviation * survival)
