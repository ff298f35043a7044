"""Every command, link and picture of every page: what stands there can be typed and is there."""

import re

import pages
import pytest
from pages import PAGES, ROOT
from reader import Reader

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_of_a_page_can_be_typed(page, tmp_path):
    """All words compose, and what comes out is valid; nothing is trained."""
    reader, wrong = Reader(tmp_path), []
    for command in pages.commands(page):
        wrong += [f"{command.place}: {text}" for text in reader.wrong(command)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "docs" / "LOG.md"], ids=[*NAMES, "docs/LOG.md"])
def test_every_link_of_a_page_leads_somewhere(page):
    wrong = []
    for line, target in pages.links(page):
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if "://" in target or target.startswith("mailto:"):
            continue
        if not goal.exists():
            wrong.append(f"{page.name}:{line}: {target}: no such file")
        elif anchor and anchor not in pages.anchors(goal):
            wrong.append(f"{page.name}:{line}: {target}: no such heading")
    assert not wrong, "\n".join(wrong)


def test_the_index_names_every_page():
    docs = ROOT / "docs"
    linked = {target for _, target in pages.links(docs / "README.md")}
    assert {page.name for page in docs.glob("*.md")} - {"README.md"} <= linked


def test_every_page_that_the_code_names_is_there():
    for folder in ("src", "conf", "benchmarks"):
        for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.yaml")]:
            for name in re.findall(r"docs/([\w-]+\.md)", path.read_text()):
                assert (ROOT / "docs" / name).is_file(), f"{path}: docs/{name}"


# What is wrong here is wrong on purpose: a check that finds nothing is no check.
BROKEN = """# A page
[gone](gone.md) [there](#a-page) [not there](#b-page)

```
python train.py optimizer.lrr=3
python train.py seed=0,1          # without -m
python train.py -m sweep=quadrants strategy=finetune,scrach
python train.py data=image_folder
python train.py -m head=linear,mlp head.dropout=0.1,1.5
python train.py --lr=3
regraft forcast outputs/runs/<date>/<time>
regraft forecast outputs/runs/<date>/<time> --goal 0.9
regraft doctor data.root=x
make cofee
pip install 'regraft[serach]'
```

```
$ python train.py optimizer.lrr=3
error: another one
$ python train.py head=mpl
error: head=mpl: no such option; did you mean 'mlp'? (there are conv_mlp, linear, mlp)
$ echo python train.py nonsense
python train.py this is output
```

In a sentence: `python train.py sede=1`, and `regraft forecast` without its words.
"""


def test_what_is_wrong_on_a_page_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    page = tmp_path / "broken.md"
    page.write_text(BROKEN)
    reader = Reader(tmp_path / "empty")
    said = [(c.line, " ".join(reader.wrong(c))) for c in pages.commands(page)]
    found = {line: wrong for line, wrong in said if wrong}
    expected = {
        5: "optimizer.lrr: no such key; did you mean 'optimizer.lr'?",
        6: "several values, and no -m",
        7: "strategy=scrach: no such option; did you mean 'scratch'?",
        8: "data.root is not set",
        9: "head.dropout=1.5: must be less than 1",
        10: "--lr=3: no such flag",
        11: "No such command 'forcast'",
        12: "No such option: --goal",
        13: "data.root: no such key",
        14: "make cofee: no such goal",
        15: "regraft[serach]: no such extra",
        19: "the page says 'another one', not",
        27: "sede: no such key; did you mean 'seed'?",
    }
    assert set(found) == set(expected)
    for line, text in expected.items():
        assert text in found[line]
    assert [target for _, target in pages.links(page)] == ["gone.md", "#a-page", "#b-page"]
    assert pages.anchors(page) == {"a-page"}
