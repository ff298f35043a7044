"""The `regraft` command: what one does with runs besides making them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="regraft",
    help="Given my images, how much of a pretrained network should I keep?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Folder = Annotated[Path, typer.Argument(help="outputs/sweeps/<date>/<time>", show_default=False)]


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def train(context: typer.Context) -> None:
    """The same as `python train.py …`, from any folder: regraft train strategy=finetune."""
    from regraft.launch import train

    train(context.args)


@app.command()
def report(folder: Folder) -> None:
    """Make a sweep's table and picture again from its folder."""
    from rich.console import Console

    from regraft import report
    from regraft.errors import RegraftError

    try:
        report.show(report.report(folder), Console())
    except RegraftError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
