"""What is known of the clips in flight, and when an answer to one of them is final.

No clock, no network: whoever calls says what happened when.  Times are seconds of one clock.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from edge_client.cooperation.combine import combine
from edge_client.cooperation.ensemble import Ensemble
from edge_client.cooperation.messages import Prediction
from edge_client.errors import EdgeError

# A node that leaves so many clips in a row without an answer is waited for no more until it
# answers one in time.
SILENT_AFTER = 5
MAX_NODES = 1000
_REMEMBERED = 1024  # clips whose answers, once decided, can be told apart as late or duplicate


@dataclass(frozen=True)
class Decision:
    """The final answer to one clip."""

    number: int
    label: str | None  # None where no usable answer came in time
    scores: Mapping[str, float]  # empty without a label
    answered_by: tuple[str, ...]  # nodes whose answers were used
    missing: tuple[str, ...]  # nodes waited for in vain, or whose answers could not be used
    latency_ms: float  # from publishing to here


@dataclass
class Counts:
    """What happened to messages and nodes."""

    used: int = 0
    late: int = 0  # after the answer was final
    duplicate: int = 0  # of the same node to the same clip
    malformed: int = 0
    not_finite: int = 0
    other_labels: int = 0  # more, fewer or others than the ensemble or most nodes have
    unknown: int = 0  # to a clip nobody published, or of a node too many
    foreign: int = 0  # to another publisher's clip
    outsiders: int = 0  # used, of a model that is no member of the ensemble
    joined: int = 0
    left: int = 0


@dataclass
class _Pending:
    published: float
    expected: set[str]
    answers: dict[str, Prediction] = field(default_factory=dict)


@dataclass(frozen=True)
class _Finished:
    deadline: float
    heard: set[str]


@dataclass
class _Node:
    announced: bool  # by its presence, and so not gone before that is taken back
    missed: int = 0  # clips in a row


class Collector:
    """Decides clip after clip; decisions are taken from :attr:`decided`."""

    def __init__(self, wait_s: float, rule: str = "sum", ensemble: Ensemble | None = None) -> None:
        """Nothing is known yet.

        Args:
            wait_s: how long answers to a clip are waited for.
            rule: one of :data:`~edge_client.cooperation.combine.RULES`.
            ensemble: whose labels and weights count; without one the labels of most answers do.

        Raises:
            EdgeError: ``weighted`` without an ensemble.
        """
        if rule == "weighted" and ensemble is None:
            raise EdgeError("combination weighted needs the weights of an --ensemble")
        self.counts = Counts()
        self.decided: deque[Decision] = deque()
        self._wait_s, self._rule, self._ensemble = wait_s, rule, ensemble
        self._pending: OrderedDict[int, _Pending] = OrderedDict()  # in order of their deadlines
        self._finished: OrderedDict[int, _Finished] = OrderedDict()
        self._nodes: dict[str, _Node] = {}
        self._published = -1

    @property
    def in_flight(self) -> int:
        """Clips without a final answer."""
        return len(self._pending)

    @property
    def nodes(self) -> int:
        """How many nodes are known to be there."""
        return len(self._nodes)

    def next_deadline(self) -> float | None:
        """When the next clip must be decided; None when none is in flight."""
        first = next(iter(self._pending.values()), None)
        return None if first is None else first.published + self._wait_s

    def published(self, number: int, at: float) -> None:
        """A clip was handed to the broker; numbers ascend."""
        self._published = number
        expected = {name for name, node in self._nodes.items() if node.missed < SILENT_AFTER}
        self._pending[number] = _Pending(at, expected)

    def answer(self, number: int, prediction: Prediction, at: float) -> None:
        """A node answered a clip."""
        self.expire(at)
        pending, finished = self._pending.get(number), self._finished.get(number)
        # In time for the wait, even where the answer was final before.
        in_time = pending is not None or (finished is not None and at <= finished.deadline)
        if number > self._published or not self._heard(prediction.node, in_time):
            self.counts.unknown += 1
            return
        heard = pending.answers.keys() if pending else finished.heard if finished else set()
        if prediction.node in heard:
            self.counts.duplicate += 1
        elif pending is None:
            self.counts.late += 1
            if finished is not None:
                finished.heard.add(prediction.node)
        else:
            pending.answers[prediction.node] = prediction
            self._decide_if_complete(number, pending, at)

    def joined(self, node: str) -> None:
        """A node announced itself."""
        if self._heard(node, in_time=True):
            self._nodes[node].announced = True

    def left(self, node: str, at: float) -> None:
        """A node is gone; nobody waits for it any more."""
        if self._nodes.pop(node, None) is None:
            return
        self.counts.left += 1
        for number, pending in list(self._pending.items()):
            if node in pending.expected and node not in pending.answers:
                pending.expected.discard(node)
                self._decide_if_complete(number, pending, at)

    def broker_lost(self, at: float) -> None:
        """Who is there will be told anew; nothing tells who went meanwhile."""
        for node in list(self._nodes):
            self.left(node, at)

    def expire(self, now: float) -> None:
        """Decides the clips whose time is over."""
        while self._pending:
            number, pending = next(iter(self._pending.items()))
            deadline = pending.published + self._wait_s
            if now < deadline:
                return
            for name in pending.expected - pending.answers.keys():
                self._missed(name)
            self._decide(number, pending, deadline)

    def _heard(self, name: str, in_time: bool) -> bool:
        """Takes note of a sign of life; course nodes give no other than their answers.

        False where there is no place for another node. Who is always late is not waited for.
        """
        if name not in self._nodes:
            if len(self._nodes) == MAX_NODES and not self._forget_a_silent_one():
                return False
            self._nodes[name] = _Node(announced=False, missed=SILENT_AFTER)
            self.counts.joined += 1
        if in_time:
            self._nodes[name].missed = 0
        return True

    def _forget_a_silent_one(self) -> bool:
        for name, node in self._nodes.items():
            if node.missed >= SILENT_AFTER:
                del self._nodes[name]
                self.counts.left += 1
                return True
        return False

    def _missed(self, name: str) -> None:
        node = self._nodes.get(name)
        if node is None:
            return
        node.missed += 1
        if node.missed >= SILENT_AFTER and not node.announced:
            del self._nodes[name]
            self.counts.left += 1

    def _decide_if_complete(self, number: int, pending: _Pending, at: float) -> None:
        # A clip published when nobody was known waits for whoever may be there.
        if pending.expected and pending.expected <= pending.answers.keys():
            self._decide(number, pending, at)

    def _decide(self, number: int, pending: _Pending, at: float) -> None:
        del self._pending[number]
        self._finished[number] = _Finished(pending.published + self._wait_s, set(pending.answers))
        if len(self._finished) > _REMEMBERED:
            self._finished.popitem(last=False)
        labels = self._labels(pending)
        used = [each for each in pending.answers.values() if each.scores.keys() == set(labels)]
        self.counts.used += len(used)
        self.counts.other_labels += len(pending.answers) - len(used)
        answered_by = tuple(sorted(each.node for each in used))
        label, scores = self._combined(labels, used) if used else (None, {})
        self.decided.append(
            Decision(
                number=number,
                label=label,
                scores=scores,
                answered_by=answered_by,
                missing=tuple(sorted((pending.expected | pending.answers.keys()) - {*answered_by})),
                latency_ms=(at - pending.published) * 1e3,
            )
        )

    def _labels(self, pending: _Pending) -> tuple[str, ...]:
        """The ensemble's, or those of most answers, of the first where equally many."""
        if self._ensemble is not None:
            return self._ensemble.labels
        sets = Counter(tuple(sorted(each.scores)) for each in pending.answers.values())
        return sets.most_common(1)[0][0] if sets else ()

    def _combined(
        self, labels: tuple[str, ...], used: list[Prediction]
    ) -> tuple[str, dict[str, float]]:
        outputs = np.array([[each.scores[label] for label in labels] for each in used])
        weights = None
        if self._ensemble is not None:
            names = [each.model.partition(":")[0] for each in used]
            members = {member.name for member in self._ensemble.members}
            self.counts.outsiders += sum(name not in members for name in names)
            if self._rule == "weighted":
                weights = [self._ensemble.weight(name) for name in names]
        together = combine(self._rule, outputs, weights)
        scores = dict(zip(labels, together.tolist(), strict=True))
        return labels[int(together.argmax())], scores
