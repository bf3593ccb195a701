"""Charts as PNG files that look the same on every machine."""

from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import matplotlib
import vl_convert
from altair.utils import Undefined

FONT = "DejaVu Sans"


@cache
def _register_fonts() -> None:
    vl_convert.register_font_directory(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf"))


def save_chart(chart: Any, path: Path) -> None:
    """Write an Altair chart, at twice its size in pixels, in a font that comes with us.

    Whatever the system has for "sans-serif" would change the picture's bytes.
    """
    _register_fonts()
    own = {} if chart.config is Undefined else chart.config.to_dict()
    chart = chart.properties(config=alt.Config(**own | {"font": FONT}))
    chart.save(str(path), format="png", scale_factor=2)
