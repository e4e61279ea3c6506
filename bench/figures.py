"""The README's table of figures from finished runs.

    python -m bench.figures runs/complete-journey runs/ml-100k

Prints the table in Markdown and, last, JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

HEAD = "| data set | requests | NDCG@10 (95 %) | best baseline | difference (95 %) | AUC uniform | AUC popular |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="--out folders of `timerec run`")
    results = [json.loads((run / "metrics.json").read_text()) for run in parser.parse_args().runs]
    rows = [row(found) for found in results]
    print(HEAD)
    print("|---" * HEAD.count(" | ") + "|---|")
    for entry in rows:
        print("| " + " | ".join(entry.values()) + " |")
    print(json.dumps(rows))


def row(results: dict[str, Any]) -> dict[str, str]:
    """One row of the table from a run's `metrics.json`."""
    metric = f"ndcg@{results['k']}"
    model = next(entry for entry in results["systems"] if entry["kind"] == "model")
    baselines = [entry for entry in results["systems"] if entry["kind"] == "baseline"]
    best = max(baselines, key=lambda entry: entry["metrics"][metric]["mean"])
    paired = next(p for p in results["paired"] if p["baseline"] == best["name"] and p["metric"] == metric)
    ours = model["metrics"][metric]
    return {
        "name": results["name"],
        "requests": f"{results['protocol']['requests']:,}",
        "ndcg": f"**{ours['mean']:.4f}** ({ours['low']:.4f} to {ours['high']:.4f})",
        "baseline": f"{best['metrics'][metric]['mean']:.4f} {best['title'].lower()}",
        "difference": f"{paired['difference']:+.4f} ({paired['low']:+.4f} to {paired['high']:+.4f})",
        "auc_uniform": f"{model['metrics']['auc_uniform']['mean']:.3f}",
        "auc_popularity": f"{model['metrics']['auc_popularity']['mean']:.3f}",
    }


if __name__ == "__main__":
    main()
