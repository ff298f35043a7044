"""The `regraft` command: what one does with runs besides making them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from regraft import terminal

UsageError: Any = typer.BadParameter.__base__  # click's, or of the click that typer brings along

app = typer.Typer(
    name="regraft",
    help="Given my images, how much of a pretrained network should I keep?",
    pretty_exceptions_enable=False,
    add_completion=False,
)

cache = typer.Typer(help="What is kept on disk of frozen networks: features computed once.")
app.add_typer(cache, name="cache")

HELP = "A sweep, outputs/sweeps/<date>/<time>, or a single job"
RUN = "A run, outputs/runs/<date>/<time>, or a job of a sweep, outputs/sweeps/<date>/<time>/0"
TRAINED = "A run, a checkpoint of one, or what regraft export wrote"
RUNS = "Sweeps, outputs/sweeps/<date>/<time>, or runs, outputs/runs/<date>/<time>"
# Of commands that take the words of a training, which are Hydra's to read.
WORDS = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": ["--help", "-h"],
}
Folder = Annotated[Path, typer.Argument(help=HELP, show_default=False)]
Trust = Annotated[
    list[str] | None, typer.Option(metavar="PACKAGE", help="Whose heads, data … may be built.")
]


@app.callback(invoke_without_command=True)
def regraft(
    version: Annotated[bool, typer.Option("--version", help="Which regraft this is.")] = False,
) -> None:
    if version:
        from regraft import __version__

        print(f"regraft {__version__}")
        raise typer.Exit


@app.command(context_settings=WORDS, add_help_option=False)
def train(context: typer.Context) -> None:
    """The same as `python train.py …`, from any folder: regraft train strategy=finetune."""
    from regraft.launch import train

    train(context.args)


@app.command(context_settings=WORDS)
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As data, for scripts.")] = False,
) -> None:
    """Check a training in seconds before it: the words of `regraft train`; exit code 1 if red.

    For example regraft doctor data=image_folder data.root=<folder> strategy=finetune. Nothing is
    trained or written. regraft train --help lists groups and options.
    """
    from regraft.launch import doctor

    doctor(context.args, as_json=as_json)


@app.command(context_settings=WORDS)
def advise(context: typer.Context) -> None:
    """Is my data big, is it similar, and what fits? The words of `regraft train`; no training.

    For example regraft advise data=image_folder data.root=<folder> backbone=resnet50.
    regraft train --help lists groups and options.
    """
    from regraft.launch import advise

    advise(context.args)


@app.command()
def report(
    folder: Folder,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only jobs whose config has it; more than one may."),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Compare the values of this key of the config."),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write report.html: all of it in one file.")
    ] = False,
) -> None:
    """Make a sweep's tables and pictures again from its folder; of a job, draw its pictures."""
    from rich.console import Console

    from regraft import jobs, pictures, report
    from regraft.errors import RegraftError
    from regraft.page import write
    from regraft.selection import parse

    console = Console()
    with one_line_errors():
        if (where or by) and jobs.is_job(folder):
            raise RegraftError(f"{folder} is one job: --where and --by choose among a sweep's")
        if html and (where or by):
            raise RegraftError(
                "--html shows all jobs and filters them itself: leave --where and --by out"
            )
        if html:
            write.show(folder, console)
        elif jobs.is_job(folder):
            pictures.show(folder, console)
        elif where or by:
            report.show(report.of_some(folder, where=parse(where or []), by=by or []), console)
        else:
            report.show(report.report(folder), console)


@app.command()
def ensemble(
    folders: Annotated[list[Path], typer.Argument(help=RUNS, show_default=False)],
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only jobs whose config has it; more than one may."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="mean, weighted or greedy; all: the best of them.")
    ] = "all",
    out: Annotated[
        Path | None, typer.Option(help="A folder for ensemble/; else the sweep.")
    ] = None,
    soup: Annotated[
        bool, typer.Option("--soup", help="Also average the weights of runs with the same start.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As data, for scripts.")] = False,
    trust: Trust = None,
) -> None:
    """Combine finished runs from what they have predicted, chosen on their validation images."""
    from rich.console import Console

    from regraft.ensemble.show import show
    from regraft.selection import parse
    from regraft.trust import add

    add(trust or [])
    with one_line_errors():
        chosen = parse(where or [])
        show(
            folders,
            Console(),
            where=chosen,
            method=method,
            out=out,
            soup=soup,
            as_json=as_json,
        )


@cache.callback(invoke_without_command=True)
def show_cache(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_cache()


@cache.command("list")
def list_cache() -> None:
    """What is in the cache, its size and where it is. The same as `regraft cache`."""
    from rich.console import Console

    from regraft import cache

    with one_line_errors():
        cache.show(Console())


@cache.command()
def prune(
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Not used for so long: 12h, 30d, 2w.")
    ] = None,
    max_gb: Annotated[
        str | None, typer.Option(metavar="GB", help="Least recently used, until this is left.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Remove features and pretrained weights, but not what a running job writes; how much it is."""
    from rich.console import Console

    from regraft import cache
    from regraft.errors import RegraftError

    with one_line_errors():
        if everything and (max_gb or older_than):
            raise RegraftError(
                "--all removes everything: leave it out, or --max-gb and --older-than"
            )
        cache.prune(Console(), older_than=older_than, max_gb="0" if everything else max_gb)


@app.command()
def presets(
    group: Annotated[str | None, typer.Argument(help="Such as strategy; else all.")] = None,
    config_dir: Annotated[str | None, typer.Option(help="A team's folder, for this call.")] = None,
) -> None:
    """What can be chosen, where it comes from and what it hides: regraft presets strategy."""
    from rich.console import Console

    from regraft import presets

    with one_line_errors():
        presets.show(Console(), group, config_dir)


@app.command()
def validate(
    folder: Annotated[str | None, typer.Argument(help="A team's; else those that are set.")] = None,
    trust: Trust = None,
) -> None:
    """Check every option and every preset under every strategy; exit code 1 if one is wrong."""
    from rich.console import Console

    from regraft.trust import add
    from regraft.validate import check

    add(trust or [])
    with one_line_errors():
        code = check.show(Console(), folder)
    raise typer.Exit(code)


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help=RUN, show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another run", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="As data, for scripts.")] = False,
) -> None:
    """What was different between two runs: config, environment, data and result."""
    from rich.console import Console

    from regraft.diff import show

    with one_line_errors():
        show(first, second, Console(), as_json=as_json)


@app.command()
def resume(folder: Folder, trust: Trust = None) -> None:
    """Finish a run or the unfinished jobs of a sweep, failed ones too; finished ones stay as is."""
    from regraft.resume import resume
    from regraft.trust import add

    add(trust or [])
    resume(folder)


@app.command()
def forecast(
    folder: Folder,
    target: Annotated[
        float | None, typer.Option(help="The accuracy you need, such as 0.95.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As data, for scripts.")] = False,
    trust: Trust = None,
) -> None:
    """How much more data a run or a sweep over data.per_class would need, and of which classes."""
    from rich.console import Console

    from regraft.outlook import show
    from regraft.trust import add

    add(trust or [])
    with one_line_errors():
        show(folder, Console(), target=target, as_json=as_json)


@app.command()
def predict(
    source: Annotated[Path, typer.Argument(help=TRAINED, show_default=False)],
    images: Annotated[
        list[str],
        typer.Argument(
            help="Files, folders, globs, tables with a path column; - for a list on standard input",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help=".csv, .parquet or .jsonl; else CSV to standard output."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="So many classes of each image.")] = 5,
    precision: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Abstain, so that such a share of the others is right."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Abstain below this probability.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 64,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Threads that read images; else one per core.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps …")] = "auto",
    path_column: Annotated[str, typer.Option(help="Of a table.")] = "path",
    trust: Trust = None,
) -> None:
    """What a network says of images: class, probability, the next classes, and if it is sure."""
    from regraft.predict.predict import How, predict
    from regraft.trust import add

    add(trust or [])
    how = How(top, precision, threshold, batch_size, workers, device, path_column)
    with one_line_errors():
        predict(source, images, out, how)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help=f"{RUN}, or a checkpoint", show_default=False)],
    to: Annotated[
        str, typer.Option(metavar="FORMAT", help="onnx, torch_export, timm or safetensors.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A folder that is not there yet.")],
    precision: Annotated[
        float | None,
        typer.Option(help="Abstain so that this share of the rest is right, such as 0.98."),
    ] = None,
    trust: Trust = None,
) -> None:
    """Write a run's network as a folder for other programs, checked against the checkpoint."""
    from rich.console import Console

    from regraft.export.export import export, show
    from regraft.trust import add

    add(trust or [])
    with one_line_errors():
        show(export(run, to, out, precision), Console())


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the user can put right ends the command with its one line."""
    from regraft.errors import RegraftError

    try:
        yield
    except RegraftError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def main() -> None:
    """Entry point of the console script. What is typed wrong is one line and exit code 2."""
    terminal.prepare()
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="regraft", standalone_mode=False)
    except UsageError as error:
        print(f"error: {error.format_message().rstrip('.')}{_choices(error.ctx)}", file=sys.stderr)
        code = 2
    sys.exit(code)


def _choices(context: Any) -> str:
    """What the command takes that was called, as the end of an error."""
    if context is None:
        return ""
    commands = getattr(context.command, "commands", ())
    names = (parameter.opts[0] for parameter in context.command.params)
    words = (name if name.startswith("-") else name.upper() for name in names)
    return f" ({context.command_path} takes {', '.join([*commands, *words])})"


if __name__ == "__main__":
    main()
