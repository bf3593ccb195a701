"""The report: one HTML file that needs nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import vl_convert

from foldwise.charts.style import DARK, LIGHT, PARTS, hardest, readable
from foldwise.evaluation.predictions import Part
from foldwise.report.budget import LIMIT, Pictured, as_json, pictured
from foldwise.report.figures import Figure
from foldwise.report.galleries import SUSPECTS_TITLE, Gallery, class_gallery
from foldwise.report.map_section import MapSection
from foldwise.report.thumbnails import SIDES, Key, Thumbnails
from foldwise.report.tuning import TuningSection

FOLDER = Path(__file__).with_name("template")
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
MOST_GALLERIES = 100
"""Classes with a gallery of their own."""
SCRIPTS = ("answers", "map", "page")
STYLES = ("page", "map")
MARGIN = 4_000
"""Bytes for notes that a page gets once it is known what does not fit."""


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
    against: list[str]
    """What the run gains over the base of another commit, a line per part."""
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
    tuning: TuningSection | None = None
    """Of the search that chose the settings, if there was one."""
    review: dict[str, Any] | None = None
    """What answers to suspected label errors need: see `review_data`."""
    map: MapSection | None = None
    """Where images lie by their features, if those were kept."""


def review_data(classes: list[str], names: dict[str, str], single: bool) -> dict[str, Any]:
    """What the page needs beside its galleries to write corrections.csv.

    Args:
        classes: their names in the data set.
        names: what each is called in the page.
        single: whether every image has one label.

    >>> review_data(["cat", "a very long name"], {"cat": "cat", "a very long name": "a ..."}, True)
    {'single': True, 'classes': {'1': 'a very long name'}}
    """
    other = {str(index): name for index, name in enumerate(classes) if names[name] != name}
    return {"single": single, "classes": other}


def render_page(report: Report, pictured: Pictured) -> str:
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
    sections = report.figures | (report.tuning.figures if report.tuning else {})
    shown = [figure for section in sections.values() for figure in section]
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
    if report.map:
        data["map"] = report.map.data
    if report.review and any(each["title"] == SUSPECTS_TITLE for each in pictured.galleries):
        data["review"] = report.review | {"title": SUSPECTS_TITLE}
    return environment.get_template("page.html").render(
        report=report,
        parts=PARTS,
        headline=rows_by_metric(report.evaluation["headline"]),
        # Of every part: one may have ignored labels, and figures for them, where another has none.
        metrics=list(
            dict.fromkeys(name for each in report.evaluation["all"].values() for name in each)
        ),
        style="".join((FOLDER / f"{each}.css").read_text("utf-8") for each in STYLES),
        script="".join((FOLDER / f"{each}.js").read_text("utf-8") for each in SCRIPTS),
        libraries=libraries(),
        data=as_json(data),
    )


@cache
def libraries() -> str:
    """Vega, Vega-Lite and Vega-Embed as a script that needs nothing else."""
    text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # A string in them that ended the page's script would cut it off there.
    return text.replace("</script", "<\\/script")


def rows_by_metric(rows: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
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


def class_galleries(
    part: Part, name: str, classes: pd.DataFrame, names: list[str]
) -> list[Gallery]:
    """A gallery for each of the classes with the lowest average precision, the lowest first.

    The page drops the last ones where it has no room.

    Args:
        part: whose images are shown.
        name: of that part.
        classes: `class`, `part`, `ap`.
        names: of the classes, in the order of the arrays' columns.
    """
    places = {each: index for index, each in enumerate(names)}
    own = classes[classes["part"] == name].set_index("class")["ap"]
    return [
        class_gallery(part, places[each], "" if np.isnan(own[each]) else f"AP {own[each]:.4f}")
        for each in hardest(classes, MOST_GALLERIES)
    ]


def compose_page(
    report: Report, galleries: list[Gallery], images: Mapping[Key, np.ndarray], limit: int = LIMIT
) -> str:
    """The page's HTML, of at most `limit` bytes in UTF-8.

    Args:
        report: all but the galleries.
        galleries: the most important first; the last are left out if there is no room.
        images: of every key that they need, (height, width, 3) BGR of uint8.
        limit: bytes.

    Raises:
        ValueError: there is no room even without galleries.
    """
    bare = render_page(report, Pictured([], Thumbnails(SIDES[0], [])))
    room = limit - len(bare.encode()) - MARGIN
    if room < 0:
        raise ValueError(f"a report without images has {limit - room} bytes, more than {limit}")
    fits, count = pictured(galleries, images, room)
    notes = list(report.notes)
    total = len(report.names)
    if total > MOST_ROWS:
        notes.append(
            f"Rows of {total - MOST_ROWS:,} of {total:,} classes: those after the first "
            f"{MOST_ROWS:,}."
        )
    of_classes = sum(each.class_index is not None for each in galleries[:count])
    if of_classes < total:
        notes.append(
            f"Images of {total - of_classes:,} of {total:,} classes: those shown have the lowest "
            f"average precision, as far as a page of {limit / 1e6:g} MB has room."
        )
    side = fits.thumbnails.side
    if fits.thumbnails.encoded and side < SIDES[0]:
        notes.append(
            f"Detail of images: their longer side is {side} pixels at most, so that the page stays "
            f"below {limit / 1e6:g} MB."
        )
    return render_page(replace(report, notes=notes), fits)
