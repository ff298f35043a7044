"""What the page of a run or a sweep says, of whatever is left of it, and that names stay names."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from report_folders import failed, job, sweep

from regraft.errors import RegraftError
from regraft.page import write

VOID = {"meta", "link", "img", "input", "br"}
DRAWN = {"path", "circle", "polyline"}  # which SVG closes by itself
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=http://127.0.0.1/x onerror=alert(1)>",
    "\"' onclick='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "</style><!--",
    "\u202egnp.exe\x1b[31m\x00",
)


class Page(HTMLParser):
    """The elements of a page with their attributes and texts; all that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID | DRAWN:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.texts.append(data)

    def attributes(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def read(folder):
    return Page(write.write(folder).read_text(encoding="utf-8"))


def test_a_sweep_s_page_tells_verdict_jobs_and_differences(tmp_path):
    page = read(sweep(tmp_path))

    assert "tie (best: finetune, 0.905)" in page.text
    assert [row["data-job"] for row in page.attributes("tr") if "data-job" in row] == list("0123")
    keys = [head["data-key"] for head in page.attributes("th") if "data-key" in head]
    assert keys[:6] == ["job", "strategy", "seed", "status", "test/acc", "interval"]
    assert "head.hidden 8 ×2 9 ×2" in page.text
    for words in (
        "strategy=finetune seed=0",
        "python train.py",
        "abc123",
        "Together they took 10 s",
    ):
        assert words in page.text
    assert [one["id"] for one in page.attributes("article")] == [f"job-{n}" for n in range(4)]


def test_a_job_s_part_shows_curves_classes_calibration_mistakes_and_its_command(tmp_path):
    page = read(job(tmp_path / "12-00-00", words=["data.root='/my pictures'"]))

    for words in (
        "0.800 test accuracy (0.682 to 0.882 over 60 images)",
        "Confusion matrix of the test images",
        "Each class, the lowest recall first",
        "as trained",
        "after the temperature",
        "calibration error (15 bins) 0.030",
        "the same before the temperature 0.120",
        "validation images that this stands on 1,234",
        "Most confident mistakes",
        "dog 0.990 is cat test/7",
        "seconds of training 1.5",
        "stem keep, stage1 tune",
        "python train.py strategy=finetune seed=0 'data.root='\"'\"'/my pictures'\"'\"''",
        "optimizer.betas [0.9]",
    ):
        assert words in page.text
    charts = [one["aria-label"] for one in page.attributes("svg") if "aria-label" in one]
    assert len(charts) == 4
    assert charts[0].startswith("loss over 4 epochs, at the end 0.500 in training")
    assert not [one for one in page.attributes("table") if one.get("id") == "listing"]


def test_a_sweep_s_page_opens_at_its_best_job_by_validation(tmp_path):
    [body] = read(sweep(tmp_path / "some")).attributes("body")
    assert body["data-first"] == "1"  # of 0.89, 0.90, 0.69 and 0.70
    failed(tmp_path / "none" / "0", "RegraftError: why")
    failed(tmp_path / "none" / "1", "RegraftError: why", seed=1)
    [body] = read(tmp_path / "none").attributes("body")
    assert body["data-first"] == ""


def test_the_page_needs_nothing_but_itself(tmp_path):
    page = read(sweep(tmp_path))

    addresses = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href")
    ]
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    text = (tmp_path / write.FILE).read_text(encoding="utf-8")
    assert "url(" not in text and "@import" not in text
    [policy] = [m["content"] for m in page.attributes("meta") if "http-equiv" in m]
    assert policy.startswith("default-src 'none';")
    [script] = page.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert page.attributes("html") == [{"lang": "en"}]
    assert all(image.get("alt") for image in page.attributes("img"))


def test_the_same_call_gives_the_same_bytes(tmp_path):
    sweep(tmp_path)
    before = write.write(tmp_path).read_bytes()
    assert write.write(tmp_path).read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_names_are_shown_and_obeyed_by_nobody(tmp_path):
    for number, name in enumerate(HOSTILE):
        classes = (name, f"{name}2", "x")
        strange = {"data": {"name": name, "test": 60}, "sources": {name: {}}}
        place = tmp_path / "hostile" / str(number)
        job(place, classes=classes, strategy=name, words=[f"+data.root={name}"], **strange)
        failed(place.with_name(str(number + 10)), name, words=["+data.root=2"])
    harmless, page = read(sweep(tmp_path / "harmless", seeds=(0,))), read(tmp_path / "hostile")

    known = {name for _, attributes in harmless.elements for name in attributes}
    found = {name for _, attributes in page.elements for name in attributes}
    assert found <= known | {"class", "title"}
    assert {tag for tag, _ in page.elements} <= {tag for tag, _ in harmless.elements} | {"ul", "li"}
    assert len(page.scripts) == 1
    shown = "".join(page.texts)
    for name in HOSTILE:
        assert "".join(c if c.isprintable() else "\ufffd" for c in name) in shown


@pytest.mark.parametrize("file", ["metrics.csv", "predictions.csv", "mistakes.json", "config.yaml"])
@pytest.mark.parametrize(
    "content", [None, b"", b"\xff\xfe{[,\n,,\n", b'[1, {"image": 3}]', b"a: [b"]
)
def test_a_missing_or_damaged_file_leaves_the_rest(file, content, tmp_path):
    path = job(tmp_path / "0") / file
    path.unlink() if content is None else path.write_bytes(content)
    page = read(tmp_path / "0")

    assert "0.800 test accuracy" in page.text
    parts = {
        "metrics.csv": "loss over 4",
        "predictions.csv": "Each class",
        "mistakes.json": "is cat",
    }
    labels = " ".join(one.get("aria-label") or "" for one in page.attributes("svg"))
    shown = {name for name, words in parts.items() if words in page.text + labels}
    assert shown == parts.keys() - {file}


@pytest.mark.parametrize(
    "part",
    [
        {"calibration": {"before": [[1]], "temperature": "x"}},
        {"calibration": None},
        {"plan": [None], "overrides": None, "versions": 3, "git": None},
        {"metrics": {"test/acc": 0.5, "test/ece": "x", "val/acc": None}, "best_epoch": "x"},
        {"cost": {"wall_s": "x"}, "data": {"test": -1}},
        {"wandb": 3, "sources": 3},
    ],
)
def test_a_result_of_another_version_is_shown_as_far_as_it_goes(part, tmp_path):
    assert len(read(job(tmp_path / "4", **part)).attributes("article")) == 1


def test_a_job_without_a_result_is_a_failed_one(tmp_path):
    (sweep(tmp_path) / "3" / "result.json").write_text("{")
    page = read(tmp_path)
    assert "job 3 (unknown): result.json is damaged" in page.text


def test_failed_jobs_alone_still_make_a_page(tmp_path):
    for number in range(30):
        failed(tmp_path / str(number), "RegraftError: no <such> data", seed=number)
    page = read(tmp_path)
    assert page.text.count("RegraftError: no <such> data") == 20 + 30
    assert "and 10 more" in page.text


def test_of_a_large_sweep_each_contender_s_best_by_validation_is_shown_in_full(tmp_path):
    for number in range(write.MOST_FULL + 2):
        strategy, seed = ("finetune", "scratch")[number % 2], number // 2
        # The best by test is the last, by validation the first.
        metrics = {"test/acc": 0.5 + 0.01 * number, "val/acc": 0.9 - 0.01 * number}
        job(tmp_path / str(number), strategy=strategy, seed=seed, metrics=metrics)
    page = read(tmp_path)

    assert page.text.count("Most confident mistakes") == 2
    assert "Shown in full are 2 jobs" in page.text
    [body] = page.attributes("body")
    assert body["data-first"] == "0"


def test_of_more_contenders_the_best_are_shown_in_full_and_how_many_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "MOST_FULL", 2)
    page = read(sweep(tmp_path, strategies=("finetune", "partial", "scratch")))
    assert page.text.count("Most confident mistakes") == 2
    assert "Shown in full are 2 jobs" in page.text and "and of those the best 2." in page.text


def test_a_choice_is_the_value_that_the_rows_have_spaces_and_all(tmp_path):
    page = read(sweep(tmp_path, strategies=("finetune", "two  spaces")))
    values = [option.get("value") for option in page.attributes("option")]
    assert "two  spaces" in values


def test_what_pretraining_took_is_told_also_of_a_job_that_found_the_weights(tmp_path):
    page = read(job(tmp_path / "0", cost={"wall_s": 2.0, "pretrain_s": 61.5}))
    assert "seconds of pretraining, by whichever job did it 61.5" in page.text


def test_what_is_no_run_is_said_in_one_line(tmp_path):
    with pytest.raises(RegraftError, match="holds no job folders") as caught:
        write.write(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_to_is_said_in_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_whole", full)
    with pytest.raises(RegraftError, match=r"cannot write .*report.html: No space left on device"):
        write.write(job(tmp_path / "0"))


def test_a_preset_of_a_sweep_is_run_again_as_a_sweep_of_one(tmp_path):
    page = read(job(tmp_path / "0", overrides=["sweep=verify", "strategy=scratch", "seed=1"]))
    command = "python train.py -m hydra/sweeper=basic sweep=verify strategy=scratch seed=1"
    assert command in page.text


def test_the_template_closes_what_it_opens_with_many_classes(tmp_path):
    classes = tuple(f"class {number} of a very long name indeed" for number in range(120))
    page = read(job(tmp_path / "0", classes=classes))

    assert "Most frequent confusions" in page.text
    assert "60 classes have no test images" in page.text
    [matrix] = [one for one in page.attributes("img") if one.get("class") == "matrix"]
    assert re.match(r"data:image/png;base64,[\w+/=]+$", matrix["src"])


def test_the_mistakes_of_somebody_else_are_images_or_nothing(tmp_path):
    folder = job(tmp_path / "0")
    rows = json.loads((folder / "mistakes.json").read_text())
    rows += [rows[0] | {"image": base64.b64encode(b"<svg onload=alert(1)>").decode()}]
    rows += [rows[0] | {"image": '" onerror="alert(1)'}]
    (folder / "mistakes.json").write_text(json.dumps(rows))
    page = read(folder)
    assert page.text.count("no image") == 2
