"""What a page marks with `<!-- run -->` is typed, block after block, in one folder per page."""

import pages
import pytest
from pages import PAGES, ROOT
from reader import Reader, pictures

RUN = {
    str(page.relative_to(ROOT)): [command for command in pages.commands(page) if command.run]
    for page in PAGES
}


@pytest.mark.parametrize("page", [page for page, commands in RUN.items() if commands])
def test_the_marked_commands_of_a_page_run(page, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    reader = Reader(tmp_path)
    images = pictures(tmp_path / "pictures")
    for command in RUN[page]:
        code = reader.run(command, your_folder=images, new_images=images)
        assert code == 0, f"{command.place}: exit code {code}: {capfd.readouterr().err}"


def test_the_worked_pages_are_among_those_that_are_run():
    assert {"docs/folder.md", "docs/head.md", "docs/cache.md"} <= {p for p in RUN if RUN[p]}
