"""Every job of every command line of every page is composed, whatever was composed before."""

import pages
import pytest
import reader
from pages import PAGES, ROOT


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_job_of_every_command_of_a_page_is_right(page, tmp_path, monkeypatch):
    monkeypatch.setenv(reader.EVERY_JOB, "1")
    someone, wrong = reader.Reader(tmp_path), []
    for command in pages.commands(page):
        wrong += [f"{command.place}: {text}" for text in someone.wrong(command)]
    assert not wrong, "\n".join(wrong)
