"""The command line: `timerec run`, its stages one by one, `recommend`, `score` and the packaged data sets."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from timerec.cli_options import Moment, console, seconds
from timerec.cli_replay import replay
from timerec.cli_serve import serve, serve_key
from timerec.cli_store import store_app
from timerec.cli_unpack import unpack
from timerec.config import Config, load_config
from timerec.schema import DataError

app = typer.Typer(help="Recommendations that know what time it is.", no_args_is_help=True, add_completion=False)
data_app = typer.Typer(help="Make a data set directory: packaged real data, or generated data.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.command("serve")(serve)
app.command("serve-key")(serve_key)
app.command("replay")(replay)
app.command("unpack")(unpack)
app.add_typer(store_app, name="store")
STAGES = 6

Data = Annotated[Path, typer.Option("--data", help="data set directory: interactions, items, item_attributes")]
Out = Annotated[Path, typer.Option("--out", help="where the result goes")]
Preset = Annotated[str, typer.Option("--preset", help="ecommerce, news, video, music or travel; without, the data decide")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML or JSON file of settings")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="section.key=value, may be repeated")]
Address = Annotated[str, typer.Option("--address", help="Ray cluster; without, RAY_ADDRESS or a private local Ray")]
Workers = Annotated[int, typer.Option("--workers", help="Ray Train workers; 0: one a GPU, or one a core up to two")]
TimeBlind = Annotated[bool, typer.Option("--time-blind", help="train the whole model without any signal of when too")]
Size = Annotated[int, typer.Option(help="about so many; 0: as the kind has")]


@data_app.command("complete-journey")
def complete_journey(out: Out) -> None:
    """1.46 million grocery purchases of 2017 (needs `pip install 'timerec[demo]'`)."""
    from timerec.data.sources import complete_journey as source

    console.print(_counts(source.write(out)))


@data_app.command("ml-100k")
def ml_100k(out: Out, wheel: Annotated[Path | None, typer.Option(help="recbole 1.2.1 wheel; pip fetches it")] = None) -> None:
    """100,000 film ratings of 1997 and 1998."""
    from timerec.data.sources import movielens as source

    console.print(_counts(source.write(out, wheel)))


@data_app.command("generated")
def generated(
    out: Out, kind: Annotated[str, typer.Option(help="shop, news, video, music or travel")] = "shop",
    users: Size = 0, items: Size = 0, events: Size = 0, seed: Annotated[int, typer.Option(help="of every draw")] = 0,
) -> None:  # fmt: skip
    """A generated log with known truth: `truth.parquet` holds the best possible list of every request."""
    from timerec.data.sources import generated as source

    console.print(_counts(source.write(out, kind, users, items, events, seed)))


@app.command()
def run(
    data: Data, out: Out, preset: Preset = "", config: ConfigFile = None, set_: Overrides = None,
    val_from: Moment = "", test_from: Moment = "", workers: Workers = 0, address: Address = "",
    time_blind: TimeBlind = False,
) -> None:  # fmt: skip
    """Everything: from a log to a trained, judged bundle and its report."""
    from timerec.pipeline.run import run as run_all

    settings = _settings(preset, config, set_, workers, address)
    cuts = {"val_from": seconds(val_from, "--val-from"), "test_from": seconds(test_from, "--test-from")}
    with _Progress() as progress:
        summary = run_all(data, out, settings, **cuts, progress=progress)
        if time_blind:
            from timerec.pipeline.ablate import TIME
            from timerec.pipeline.ablate import ablate as without_time

            summary["time_blind"] = without_time(out, [TIME], progress=progress)["rows"][0]
    console.print(_headline(summary))
    print(json.dumps(summary))


@app.command()
def ablate(
    run_folder: Annotated[Path, typer.Option("--run", help="out folder of a finished `timerec run`")],
    without: Annotated[str, typer.Option("--without", help="sources, with commas between them; without, each of them")] = "",
    time_blind: TimeBlind = False,
    out: Annotated[Path | None, typer.Option("--out", help="where the result goes; without, RUN/ablate")] = None,
    workers: Workers = 0, address: Address = "",
) -> None:  # fmt: skip
    """What each source is worth: the model trained again without it, on the same requests."""
    from timerec.evaluation.ablation import time_words
    from timerec.pipeline.ablate import SOURCES, TIME
    from timerec.pipeline.ablate import ablate as leave_out

    names = [name.strip() for name in without.split(",") if name.strip()]
    if time_blind and TIME not in names:
        names.insert(0, TIME)
    chosen = names or list(SOURCES)
    cluster = _settings("", None, None, workers, address).cluster if workers or address else None
    with _Progress(len(chosen)) as progress:
        results = leave_out(run_folder, chosen, out, cluster, progress)
    console.print(_worths(results))
    console.print(time_words(results) or "", highlight=False)
    print(json.dumps(results))


@app.command()
def prepare(
    data: Data, out: Out, preset: Preset = "", config: ConfigFile = None, set_: Overrides = None,
    val_from: Moment = "", test_from: Moment = "", address: Address = "",
) -> None:  # fmt: skip
    """Stage 1: read, judge, index, shard and split a log."""
    from timerec.data.cluster import connect
    from timerec.pipeline.prepare import prepare as stage

    settings = _settings(preset, config, set_, 0, address)
    connect(settings.cluster.address)
    manifest = stage(data, out, settings.data, seconds(val_from, "--val-from"), seconds(test_from, "--test-from"))
    print(json.dumps({name: manifest[name] for name in ("n_events", "n_users", "n_items", "counts", "notes")}))


@app.command()
def encode(prepared: Path, out: Out, config: ConfigFile = None, set_: Overrides = None, address: Address = "") -> None:
    """Stage 2: item texts to vectors with a language model."""
    from timerec.data.cluster import connect
    from timerec.pipeline.encode import encode as stage

    settings = _settings("", config, set_, 0, address)
    connect(settings.cluster.address)
    print(json.dumps(stage(prepared, out, settings.encoder)))


@app.command()
def forecast(
    prepared: Path, out: Out, fit_until: Moment = "", config: ConfigFile = None, set_: Overrides = None,
    workers: Workers = 0, address: Address = "",
) -> None:  # fmt: skip
    """Stage 3: fit the forecaster of item series; by default on what is before validation."""
    from timerec.pipeline.forecast import forecast as stage

    settings = _settings("", config, set_, workers, address)
    cut = seconds(fit_until, "--fit-until")
    if cut is None:
        cut = int(_manifest(prepared)["val_from"])
    print(json.dumps(stage(prepared, out, settings.forecaster, settings.cluster, cut, settings.train.seed)))


@app.command()
def finetune(
    prepared: Path, encoded: Path, forecasts: Path, out: Out, config: ConfigFile = None, set_: Overrides = None,
    workers: Workers = 0, address: Address = "",
) -> None:  # fmt: skip
    """Stage 4: fine-tune the joint model, data-parallel."""
    from timerec.pipeline.finetune import finetune as stage

    print(json.dumps(stage(prepared, encoded, forecasts / "features", out, _settings("", config, set_, workers, address))))


@app.command()
def evaluate(
    run_folder: Path, out: Out, config: ConfigFile = None, set_: Overrides = None, address: Address = "",
    baseline: Annotated[list[str] | None, typer.Option(help="a recommender of your own, module:function")] = None,
) -> None:  # fmt: skip
    """Stage 5: judge a finished run again, for example with other requests."""
    from timerec.pipeline.run import judge

    settings = _settings("", config, set_, 0, address)
    settings.evaluate.baselines += baseline or []
    print(json.dumps(judge(run_folder, out, settings)))


@app.command()
def recommend(
    bundle: Annotated[Path, typer.Option("--bundle", help="a run's bundle folder")], data: Data,
    requests: Annotated[Path, typer.Option("--requests", help="request_id, user_id, timestamp (.parquet or .csv)")],
    out: Out, k: Annotated[int, typer.Option("--k", help="items a request")] = 10, address: Address = "",
) -> None:  # fmt: skip
    """Stage 6: answer requests as of their timestamps, from everything in the data strictly before."""
    from timerec.pipeline.recommend import recommend as stage

    print(json.dumps(stage(bundle, data, requests, out, k, _settings("", None, None, 0, address))))


@app.command()
def score(
    bundle: Annotated[Path, typer.Option("--bundle", help="a run's bundle folder")], data: Data,
    requests: Annotated[Path, typer.Option("--requests", help="request_id, user_id, timestamp (.parquet or .csv)")],
    pairs: Annotated[Path, typer.Option("--pairs", help="request_id, item_id (.parquet or .csv)")],
    out: Out, address: Address = "",
) -> None:  # fmt: skip
    """Stage 6: score pairs of request and item, any item of the catalogue."""
    from timerec.pipeline.recommend import score as stage

    print(json.dumps(stage(bundle, data, requests, pairs, out, _settings("", None, None, 0, address))))


@app.command()
def show(
    bundle: Annotated[Path, typer.Option("--bundle", help="a run's bundle folder")],
    user: Annotated[str, typer.Option("--user", help="user id; without, one with a long history")] = "",
    at: Moment = "", k: Annotated[int, typer.Option("--k")] = 10,
) -> None:  # fmt: skip
    """One person's latest history, and recommendations with their reasons."""
    from timerec.show import show as display

    display(Console(), bundle, user, at, k)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a user's fault is one sentence and exit code 2, any other a sentence and 1."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        app(words, standalone_mode=False)
    except DataError as error:
        if debug:
            raise
        _end(str(error), 2)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except KeyboardInterrupt:
        _end("stopped: run the same command again to go on from the last finished stage", 130)
    except Exception as error:
        if debug:
            raise
        if hasattr(error, "format_message"):  # wrong use of the command line
            _end(error.format_message(), 2)
        lines = str(error).strip().splitlines() or ["no message"]
        _end(f"{type(error).__name__}: {lines[0]} (run again with --debug for the traceback)", 1)


def _end(message: str, code: int) -> None:
    console.print(f"timerec: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def _settings(preset: str, file: Path | None, overrides: list[str] | None, workers: int, address: str) -> Config:
    config = load_config(file, preset, overrides)
    if workers:
        config.cluster.workers = workers
    if address:
        config.cluster.address = address
    return config


def _manifest(prepared: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((prepared / "manifest.json").read_text())
    except (OSError, ValueError):
        raise DataError(f"{prepared}: is no prepared directory (no readable manifest.json): run `timerec prepare`") from None
    return found


class _Progress:
    """A line for each stage as it ends, and on a terminal a bar over all stages with the time so far."""

    def __init__(self, stages: int = STAGES) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=stages)

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, stage: str, state: str) -> None:
        now = f"{datetime.now(UTC):%H:%M:%S} [bold]{stage}[/bold]"
        if state == "start":
            self._bar.update(self._task, description=stage)
            if not console.is_terminal:
                console.print(f"{now} …")
            return
        self._bar.advance(self._task)
        console.print(f"{now} {'unchanged, kept' if state == 'skip' else state}")


def _headline(summary: dict[str, Any]) -> Table:
    table = Table(title=f"Test, {summary['requests']:,} requests")
    for column in ("metric", "timerec", "95 % interval"):
        table.add_column(column)
    for name, value in summary["test"].items():
        low, high = summary["interval"][name]
        table.add_row(name, f"{value:.4f}", f"{low:.4f} to {high:.4f}")
    best = dict(summary["best_baseline"])
    name = best.pop("name")
    for metric, value in best.items():
        table.add_row(f"{metric}, best baseline ({name})", f"{value:.4f}", "")
    return table


def _worths(results: dict[str, Any]) -> Table:
    table = Table(
        title=f"Test, {results['requests']:,} requests: NDCG@{results['k']} {results['full']['mean']:.4f} with everything"
    )
    for column in ("without", "NDCG", "worth", "95 % interval"):
        table.add_column(column)
    for row in sorted(results["rows"], key=lambda row: -row["worth"]["difference"]):
        worth = row["worth"]
        ends = f"{worth['low']:+.4f} to {worth['high']:+.4f}"
        table.add_row(row["source"], f"{row['ndcg']['mean']:.4f}", f"{worth['difference']:+.4f}", ends)
    return table


def _counts(found: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in found.items())


if __name__ == "__main__":
    main()
