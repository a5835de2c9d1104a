"""The accuracy-against-bytes curve as an SVG."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

from components.deferral.report import SplitReport
from edge_client.files import write_whole

_BOUNDS = {"linestyle": "--", "linewidth": 1.2}
_COLOURS = ("#1f6fb4", "#d0661c", "#2f8f4e", "#8a4fa3")
_CLOSE = 20.0  # percent of the clips, where a policy earns its living


def draw(report: SplitReport, chosen: str, title: str, path: Path) -> None:
    """Draws every policy of a split between its bounds, its threshold marked.

    On the left all shares of clips asked for, on the right the smallest of them; the same in
    bytes stands above.

    Args:
        report: of the split.
        chosen: the policy drawn boldest.
        title: above the curves.
        path: of the SVG; the same report gives the same bytes.
    """
    import matplotlib as mpl

    mpl.use("Agg", force=True)
    from matplotlib import pyplot as plt

    with mpl.rc_context({"svg.hashsalt": "ml4iot", "svg.fonttype": "none", "font.size": 10}):
        figure, (whole, close) = plt.subplots(
            1, 2, figsize=(10, 4.4), sharey=True, layout="constrained"
        )
        for axes, most in ((whole, 100.0), (close, _CLOSE)):
            _plot(axes, report, chosen)
            axes.set_xlim(0, most)
            axes.set_xlabel("clips asked for, %")
            _bytes_above(axes, max(report.random.megabytes))
        whole.set_ylabel("accuracy, %")
        whole.legend(loc="best", fontsize=9)
        figure.suptitle(title, fontsize=12)
        drawn = BytesIO()
        # Without a date the same report gives the same file.
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, drawn.getvalue())


def _plot(axes: Any, report: SplitReport, chosen: str) -> None:
    _line(axes, report.oracle, label="oracle", color="#555555", **_BOUNDS)
    _line(axes, report.random, label="random", color="#aaaaaa", **_BOUNDS)
    for (name, policy), colour in zip(report.policies.items(), _COLOURS, strict=False):
        bold = name == chosen
        area = "" if policy.area is None else f", area {100 * policy.area:.0f} %"
        _line(
            axes,
            policy.curve,
            label=f"{name}{area}",
            color=colour,
            linewidth=2.2 if bold else 1.0,
            zorder=4 if bold else 3,
        )
        axes.plot(
            100 * policy.share,
            policy.accuracy.value,
            marker="o",
            markersize=8 if bold else 4,
            color=colour,
            zorder=5,
        )
    axes.axhline(report.big.value, label="big alone", color="#333333", linewidth=0.8, linestyle=":")
    axes.grid(alpha=0.25)


def _line(axes: Any, of: Any, **style: Any) -> None:
    axes.plot([100 * share for share in of.share], of.accuracy, **style)


def _bytes_above(axes: Any, everything: float) -> None:
    """A second scale: ``everything`` is what asking for all clips sends, in MB."""
    above = axes.secondary_xaxis(
        "top",
        functions=(lambda share: share * everything / 100, lambda mb: 100 * mb / everything),
    )
    above.set_xlabel("request bodies, MB (2^20 bytes)")
