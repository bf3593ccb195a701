"""What all charts share: colours in the light and in the dark, lengths of lists, names."""

from typing import Any

import pandas as pd

# Okabe and Ito's palette, which colour-blind readers can tell apart, in the order in which its
# colours stand out from white and from black.
ON_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#666666")
ON_DARK = ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#AAAAAA")

MOST_CLASSES = 60
"""Classes that a chart shows as rows."""
MOST_PICKED = 100
"""Classes that can be picked one by one."""
MOST_BARS = 40
"""Views and numbers of labels that a chart can name one by one."""

PARTS = {"oof": "out-of-fold", "test": "test"}
WORDS = {"ap": "AP", "ap11": "AP", "auc": "AUC", "f1": "F1", "map": "mAP", "roc": "ROC"} | {
    "cf1": "CF1",
    "of1": "OF1",
    "lrap": "LRAP",
    "top1": "top-1",
}


def theme(colours: tuple[str, ...], ink: str, faint: str, line: str, ramp: str) -> dict[str, Any]:
    """Vega-Lite's `config`: colours by rank, not by name, so that a chart suits both themes.

    Args:
        colours: of series, in order.
        ink: of titles.
        faint: of labels and of lines that only guide the eye.
        line: of the grid.
        ramp: Vega's name of the colours from none to much.
    """
    text = {"labelColor": faint, "titleColor": ink, "titleFontWeight": "normal"}
    return {
        "background": "transparent",
        "mark": {"color": colours[0]},
        "text": {"color": ink, "fontSize": 11},
        "range": {"category": list(colours), "heatmap": {"scheme": ramp}},
        "style": {
            "reference": {"color": faint, "strokeDash": [4, 3], "strokeWidth": 1.2},
            "chosen": {"color": colours[1]},
            "interval": {"color": colours[0], "strokeWidth": 2},
        },
        "axis": text
        | {"gridColor": line, "domainColor": faint, "tickColor": faint}
        | {"labelFontSize": 11, "titleFontSize": 12, "titlePadding": 8, "labelLimit": 150},
        "legend": text
        | {"orient": "top", "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 160}
        | {"columns": 3, "symbolSize": 80, "offset": 8},
        "axisQuantitative": {"tickCount": 5, "labelFlush": False},
        "title": {"color": ink, "anchor": "start", "fontSize": 13, "offset": 12},
        "view": {"stroke": None},
    }


LIGHT = theme(ON_LIGHT, "#1c2127", "#5a6270", "#e3e6ea", "blues")
DARK = theme(ON_DARK, "#e8eaed", "#a5adba", "#333a44", "darkblue")


def readable(metric: str) -> str:
    """A metric's name for people: `macro_ap` is macro AP."""
    return " ".join(WORDS.get(word, word) for word in metric.split("_"))


def hardest(classes: pd.DataFrame, most: int) -> list[str]:
    """Names of the classes with the lowest average precision, the lowest first.

    Args:
        classes: `class`, `part`, `ap`; the test part decides if there is one.
        most: how many at most.
    """
    part = "test" if (classes["part"] == "test").any() else "oof"
    own = classes[classes["part"] == part].sort_values("ap", kind="stable")
    return own["class"].head(most).tolist()


def some_of(shown: int, total: int, which: str) -> str:
    """What a chart's title adds: ': 60 of 1,000 classes, those with ...', or nothing."""
    return f": {shown:,} of {total:,} classes, {which}" if shown < total else ""
