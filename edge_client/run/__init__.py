"""Answers clip after clip with the small model, and asks the big one where that pays.

::

    clips ── first model ──> decision ── keeps ────────────────────────────> answer
                                └─ asks ── asker (queue, threads) ── fused ──> answer

``loop`` is the way of a clip; ``decision`` says whether to ask, ``asker`` keeps audio from waiting
for the network, ``tally`` and ``report`` count what came of it.
"""
