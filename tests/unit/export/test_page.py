"""docs/export.md names every format; what it shows is run in jobs/test_export.py."""

import re

import pytest

from regraft.export.formats import FORMATS


@pytest.fixture
def page(repository):
    return (repository / "docs" / "export.md").read_text()


def test_the_page_has_every_format(page):
    for name, format in FORMATS.items():
        [row] = re.findall(rf"^\| `{name}` .*$", page, re.MULTILINE)
        assert f"`{format.file}`" in row
