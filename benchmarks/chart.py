"""How long Helm takes to render the whole chart, for each ready-made values file. Needs the tools of `make check`."""

import argparse
import sys
import time
from pathlib import Path

from measuring import results

sys.path.append(str(results.ROOT))
from scripts.manifests import helm

AIM = "2 s"


def measured(file: Path, times: int) -> tuple[str, str, str, str]:
    """Render a values file several times; a row of the table."""
    files = () if file.name == "values.yaml" else (file,)
    given = helm.least(files)
    objects = len(helm.objects(helm.template(files, given)))
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        helm.template(files, given)
        taken.append(time.perf_counter() - began)
    return f"`{file.name}`", str(objects), results.seconds(taken), AIM


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="renders of each file")
    given = parser.parse_args()
    load = results.busy()
    files = sorted(path for path in helm.CHART.glob("values*.yaml") if path.name != "values.schema.yaml")
    rows = [measured(file, given.times) for file in files]
    results.write("Rendering the chart", load, results.table(("values", "objects", "median (range)", "aim"), rows))


if __name__ == "__main__":
    main()
