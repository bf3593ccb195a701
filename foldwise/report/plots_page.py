"""The page that `dvc plots` fills: DVC's own loads its chart library from the web.

`python -m foldwise.report.plots_page > .dvc/plots/page.html` makes it anew.
"""

import sys

import vl_convert

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{{refresh_tag}}
<title>Plots</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 1rem; background: #fff; color: #222; }}
main {{ display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start; }}
main > div {{ max-width: 100%; overflow-x: auto; }}
img {{ max-width: 100%; height: auto; }}
</style>
<script>
{script}
</script>
</head>
<body>
<main>
{{plot_divs}}
</main>
</body>
</html>
"""


def plots_page() -> str:
    """HTML with Vega, Vega-Lite and Vega-Embed inside, and the places that DVC fills in."""
    # A script ends at the first closing tag, wherever it stands.
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub lacks the default
    script = bundle.replace("</script", "<\\/script")
    return PAGE.format(script=script)


if __name__ == "__main__":
    sys.stdout.write(plots_page())
