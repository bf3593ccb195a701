"""The report: one HTML file that needs nothing else."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import vl_convert

from foldwise.charts.style import DARK, LIGHT, PARTS, readable
from foldwise.report.budget import Pictured, as_json
from foldwise.report.figures import Figure

FOLDER = Path(__file__).with_name("page")
# In the page a chart has the page's letters; a picture has those that its writer knows.
FONT = {"font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"}
MOST_ROWS = 2000
"""Classes of the table per class; of more, the first."""
COLUMNS = {
    "images": "images",
    "prevalence": "prevalence",
    "ap": "AP",
    "ap_low": "AP low",
    "ap_high": "AP high",
    "roc_auc": "ROC AUC",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
}


@dataclass(frozen=True)
class Report:
    """All that a page says, apart from its galleries."""

    title: str
    subtitle: str
    facts: list[tuple[str, list[str]]]
    """What was run: a name and its lines."""
    params: str
    part: str
    """oof or test: the part whose classes and images are shown."""
    evaluation: dict[str, Any]
    """`headline` and `all`, as in evaluation.json."""
    ladders: dict[str, pd.DataFrame]
    """Of a part its `step`, `score`, `low`, `high`, `gain`, `gain_low`, `gain_high`, `verdict`."""
    figures: dict[str, list[Figure]]
    classes: pd.DataFrame
    """`class`, `part` and the columns of `COLUMNS`."""
    names: list[str]
    """Of the classes, in order."""
    picked: list[str]
    """Classes that charts of a single class can show."""
    objective: str
    notes: list[str]
    """What the page leaves out."""


def render(report: Report, pictured: Pictured) -> str:
    """The page's HTML: charts, styles, scripts and pictures are all in it.

    Whatever it is given, class names and ids among it, stands there as text.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"readable": readable, "score": _score, "gain": _gain}
    shown = [figure for section in report.figures.values() for figure in section]
    data = {
        "themes": {"light": _on_page(LIGHT), "dark": _on_page(DARK)},
        "specs": {figure.name: figure.spec for figure in shown},
        "names": report.names,
        "columns": COLUMNS,
        "table": class_rows(report.classes),
        "galleries": pictured.galleries,
        "side": pictured.thumbnails.side,
        "pictures": pictured.thumbnails.encoded,
    }
    return environment.get_template("page.html").render(
        report=report,
        parts=PARTS,
        headline=headline(report.evaluation["headline"]),
        # Of every part: one may have ignored labels, and figures for them, where another has none.
        metrics=list(
            dict.fromkeys(name for each in report.evaluation["all"].values() for name in each)
        ),
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=(FOLDER / "page.js").read_text(encoding="utf-8"),
        libraries=libraries(),
        data=as_json(data),
    )


@cache
def libraries() -> str:
    """Vega, Vega-Lite and Vega-Embed as a script that needs nothing else."""
    text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # A string in them that ended the page's script would cut it off there.
    return text.replace("</script", "<\\/script")


def headline(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Of every metric its row by part, the test part first."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["part"] != "test"):
        found.setdefault(row["metric"], {})[row["part"]] = row
    order = list(dict.fromkeys(row["metric"] for row in rows))
    return {metric: found[metric] for metric in order}


def class_rows(classes: pd.DataFrame) -> dict[str, dict[str, list[Any]]]:
    """The table's columns by part; None where there is no value."""
    found = {}
    for part, table in classes.groupby("part", sort=False):
        own = table.head(MOST_ROWS)
        columns: dict[str, list[Any]] = {"class": own["class"].tolist()}
        for name in COLUMNS:
            values = own[name].to_numpy(np.float64)
            if name == "images":
                columns[name] = [int(each) for each in values]
            else:
                columns[name] = [None if np.isnan(x) else round(float(x), 4) for x in values]
        found[str(part)] = columns
    return found


def short_names(names: list[str], most: int = 60) -> dict[str, str]:
    """What each class is called in a page: odd and long names are cut, and stay different."""
    found: dict[str, str] = {}
    for number, name in enumerate(names):
        # Of line separators and their like Vega's parser makes errors.
        line = "".join(each if each.isprintable() else " " for each in name)
        changed = line != name or len(name) > most
        found[name] = f"{line[: most - 10].strip()}... ({number})" if changed else name
    return found


def renamed(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The table with its classes' short names, in whichever columns they stand."""
    columns = [each for each in ("class", "actual", "predicted") if each in table]
    return table.assign(**{each: table[each].map(lambda n: names.get(n, n)) for each in columns})


def _on_page(theme: dict[str, Any]) -> dict[str, Any]:
    # Side by side, several legends of a chart would be cut off on a phone.
    layout = {"top": {"direction": "vertical", "anchor": "start"}}
    return theme | FONT | {"legend": theme["legend"] | {"layout": layout}}


def _score(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.4f}"


def _gain(value: float) -> str:
    return f"{value:+.4f}"
