"""Accuracy of timerec and of every baseline on several data sets, in one table.

    python -m bench.accuracy data/complete-journey data/ml-100k --out runs \
        [--peers lightgbm als sasrec --rectools .venv-rectools/bin/python] [--readme README.md]

Each folder is a data set, for which `timerec run` is called with the default configuration, or the --out folder of a finished
run, which is judged again where it lacks a peer. Prints the table in Markdown and, last, JSON; --readme puts the table
between that file's figure marks.

The rules, the same for all systems:

- The split is global in time. Validation begins at the 80 % quantile of the event times, test at the 90 % quantile.
- A request is all events of one user at one second; its truth are the items of it that somebody had an event with strictly
  before. At most 5,000 requests of each part are judged, drawn with seed 17.
- Every list ranks the whole catalogue as of the request. Items that the user has are on offer where the training events
  repeat items, and not otherwise.
- Parameters are chosen on validation with what is fitted before it, and fitted again on what is before the test. Histories,
  counters and live popularity run on to the request, and never to its own second.
- Seconds are of the clock. Tuning, fitting and LightGBM's features are one figure in the table and apart in the JSON; timerec's
  is the whole stage `finetune`, with item-to-item tables and the choice of the segment, of the run that trained it. Texts and
  forecasts, which LightGBM reads too, are in neither. timerec and the peers have all cores; the standard baselines share them.
  timerec's answers hold those to the validation requests and the start of its processes besides.
- NDCG@10 and the other metrics are means over requests. Intervals are 95 % by 1,000 resamples of users, those of differences on
  the same requests. AUC is per request against 100 uniform or 100 popularity-matched negatives, ties a half.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from timerec.config import Config, load_config
from timerec.pipeline.run import SUMMARY, judge, run
from timerec.schema import DataError

HEAD = "| data set | system | NDCG@10 (95 %) | timerec minus it (95 %) | AUC uniform | AUC popular | fit, s | answer, s |"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="data set directories, or finished runs")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="where runs and judgements go")
    parser.add_argument("--peers", nargs="*", default=[], help="lightgbm, als, sasrec")
    parser.add_argument("--readme", type=Path, help="Markdown file whose table of figures is replaced")
    parser.add_argument("--rectools", default="", help="Python of an environment with RecTools, for the peer sasrec")
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for folder in asked.folders:
        began = time.perf_counter()
        results = judged(folder, asked.out / folder.name, asked.peers, asked.rectools)
        rows += table(results)
        print(f"{results['name']}: {time.perf_counter() - began:.0f} s", flush=True)
    text = markdown(rows)
    print(text)
    if asked.readme:
        replace_table(asked.readme, text)
    print(json.dumps(rows))


def judged(folder: Path, out: Path, peers: list[str], rectools: str = "") -> dict[str, Any]:
    """`metrics.json` of a data set or of a finished run, with all `peers` in it."""
    settings = [f"evaluate.peers={json.dumps(peers)}", f"evaluate.rectools={json.dumps(rectools)}"]
    if (folder / SUMMARY).exists():
        found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
        told = all(isinstance(entry.get("seconds"), dict) for entry in found["systems"])  # runs of before told one figure
        if told and set(peers) <= {entry["name"] for entry in found["systems"]}:
            return found
        config = load_config(folder / "config.json", overrides=settings)
        return judge_into(folder, out, config)
    config = load_config(overrides=settings)
    run(folder, out, config)
    done: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return done


def judge_into(folder: Path, out: Path, config: Config) -> dict[str, Any]:
    """Judge a finished run again; what was found is read back from its file."""
    judge(folder, out, config)
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


def table(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a system, the best first."""
    metric = f"ndcg@{results['k']}"
    paired = {row["baseline"]: row for row in results["paired"] if row["metric"] == metric}
    rows = []
    for entry in sorted(results["systems"], key=lambda entry: -entry["metrics"][metric]["mean"]):
        rows.append(
            {
                "data": results["name"], "requests": results["protocol"]["requests"], "system": entry["title"],
                "model": entry["kind"] == "model", "ndcg": entry["metrics"][metric],
                "difference": paired.get(entry["name"]), "auc_uniform": entry["metrics"]["auc_uniform"]["mean"],
                "auc_popularity": entry["metrics"]["auc_popularity"]["mean"], "seconds": entry["seconds"],
            }
        )  # fmt: skip
    return rows


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table; what timerec is not clearly ahead of is marked as level or behind."""
    lines = [HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
    last = ""
    for row in rows:
        name = "" if row["data"] == last else f"{row['data']}, {row['requests']:,} requests"
        last = row["data"]
        value, system = f"{row['ndcg']['mean']:.4f} ({row['ndcg']['low']:.4f} to {row['ndcg']['high']:.4f})", row["system"]
        difference = ""
        if row["difference"]:
            low, high = row["difference"]["low"], row["difference"]["high"]
            word = "" if low > 0 else ", behind" if high < 0 else ", level"
            difference = f"{row['difference']['difference']:+.4f} ({low:+.4f} to {high:+.4f}){word}"
        if row["model"]:
            value, system = f"**{value}**", f"**{system}**"
        aucs = [f"{row[name]:.3f}" for name in ("auc_uniform", "auc_popularity")]
        spent = dict(row["seconds"])
        answers = spent.pop("answers")
        cells = [name, system, value, difference, *aucs, f"{sum(spent.values()):.0f}" if spent else "", f"{answers:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def replace_table(page: Path, text: str) -> None:
    """Put the table between the marks of a Markdown file.

    Raises:
        DataError: the marks are not there.
    """
    whole = page.read_text()
    if BEGIN not in whole or END not in whole:
        raise DataError(f"{page}: has no '{BEGIN}' and '{END}': add the two lines where the table belongs")
    page.write_text(f"{whole[: whole.index(BEGIN) + len(BEGIN)]}\n{text}\n{whole[whole.index(END) :]}")


if __name__ == "__main__":
    main()
