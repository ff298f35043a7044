"""`regraft predict`, from the words on the command line to the files that it leaves."""

import csv
import errno
import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from saved import run

from regraft import cli, trained
from regraft.data.transforms import read_image
from regraft.escaping import from_csv

HOSTILE = Path(__file__).parents[2] / "support" / "hostile"
CLASSES = ("ant", "=bee", 'cat,"s"')


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A run whose network says something else of every image, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    stored = {"temperature": 0.5, "threshold": 0.5, "precision": 0.9}
    return folder, run(folder, classes=CLASSES, calibration=stored)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch, capsys):
    """`regraft predict …` in this process: exit code, standard output and error."""

    def call(*words):
        monkeypatch.setattr("sys.argv", ["regraft", "predict", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code or 0, *capsys.readouterr()

    return call


def noise(path, seed=0, mode="RGB", size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], len(Image.new(mode, (1, 1)).getbands()))
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    Image.fromarray(pixels.squeeze(-1) if shape[2] == 1 else pixels, mode).save(path)
    return path


def rows(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def expected(network, path):
    """What the network says of one image, by PyTorch alone."""
    seen = network.backbone.input
    with torch.inference_mode():
        logits = network(seen.normalize(seen.fit(read_image(path))[None]))
    return (logits / 0.5).softmax(1)[0].numpy()


def test_what_is_said_is_what_the_network_says(model, command, here):
    folder, network = model
    for n in (10, 9, 1):
        noise(here / "photos" / f"{n}.png", n)
    code, out, err = command(folder, "photos", "--out", "a.csv", "--batch-size", 2)
    assert (code, out) == (0, "")
    found = rows("a.csv")
    assert [row["path"] for row in found] == ["photos/1.png", "photos/9.png", "photos/10.png"]
    for row in found:
        shares = expected(network, row["path"])
        order = shares.argsort()[::-1]
        assert from_csv(row["class"]) == CLASSES[order[0]]
        told = [float(row[name]) for name in ("probability", "probability_2", "probability_3")]
        assert told == pytest.approx(shares[order], abs=2e-6)
        assert row["abstained"] == str(bool(shares.max() < 0.5)).lower()
    sure = sum(row["abstained"] == "false" for row in found)
    assert f", {3 - sure} abstained (below 0.5): a.csv" in err
    assert sorted(p.name for p in here.iterdir()) == ["a.csv", "photos"]


def test_other_files_say_the_same(model, command, here):
    noise(here / "x.png")
    answers = []
    for name in ("a.jsonl", "a.parquet"):
        assert command(model[0], "x.png", "--out", name, "--top", 2)[0] == 0
    answers = [json.loads(Path("a.jsonl").read_text())]
    answers += pytest.importorskip("pyarrow.parquet").read_table("a.parquet").to_pylist()
    assert answers[0] == answers[1]
    assert len(answers[0]["top_classes"]) == 2
    code, out, err = command(model[0], "x.png", "--top", 2)
    assert code == 0
    header, line = csv.reader(out.splitlines())
    assert len(header) == 6
    assert from_csv(line[1]) == answers[0]["class"]
    assert float(line[2]) == pytest.approx(answers[0]["probability"], abs=1e-6)
    assert "1 image in " in err


def messy(folder):
    """Images as people have them, and what else lies beside them."""
    for mode in ("L", "CMYK", "RGBA", "LA"):
        noise(folder / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}", mode=mode)
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70).save(folder / "16.png")
    noise(folder / "p.png").rename(folder / "rgb.png")
    Image.open(folder / "rgb.png").quantize(8).save(folder / "palette.gif")
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moves.gif", save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[274] = 6
    Image.open(folder / "rgb.png").save(folder / "turned.jpg", exif=exif)
    for name in ("=1+1,.png", 'quo"te.png', "new\nline.png", "ümlaut.PNG", "[red].png"):
        noise(folder / name)
    good = len(list(folder.iterdir()))
    for path in (HOSTILE / "images").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "empty.png").touch()
    (folder / "cut.png").write_bytes((folder / "rgb.png").read_bytes()[:200])
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").touch()
    (folder / "nowhere.png").symlink_to("gone.png")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    (folder / "sub.png").mkdir()
    noise(folder / "sub.png" / "inner.png")
    return good + 1


def test_a_messy_folder_is_predicted_and_what_is_bad_is_listed(model, command, here):
    (here / "messy").mkdir()
    good = messy(here / "messy")
    code, _, err = command(model[0], "messy", "--out", "a.csv", "--batch-size", 5)
    assert code == 0
    found, skipped = rows("a.csv"), rows("a.skipped.csv")
    images = [from_csv(row["path"]) for row in found]
    bad = {from_csv(row["image"]): from_csv(row["reason"]) for row in skipped}
    harmless = {f"messy/{p.name}" for p in (HOSTILE / "images").iterdir()} & {*images}
    assert len(images) == good + len(harmless)
    assert {"messy/new\nline.png", "messy/=1+1,.png", "messy/sub.png/inner.png"} <= {*images}
    assert bad["messy/empty.png"] == "the file is empty"
    assert bad["messy/nowhere.png"] == "no such file"
    assert bad["messy/pipe.png"] == "not a file"
    assert "messy/cut.png" in bad
    assert "messy/bomb.png" in bad
    assert len(bad) == len(skipped)
    assert not any("notes" in name or "hidden" in name for name in [*images, *bad])
    assert f"warning: {len(bad)} images cannot be read and left out: a.skipped.csv" in err
    network = model[1]
    turned = next(row for row in found if row["path"] == "messy/turned.jpg")
    want = expected(network, here / "messy" / "turned.jpg").max()
    assert float(turned["probability"]) == pytest.approx(want, abs=2e-6)


def test_files_that_are_no_images_to_us_are_counted_by_suffix_and_listed(model, command, here):
    (here / "new").mkdir()
    noise(here / "new" / "1.png")
    for name in ("2.HEIC", "3", "4.png.download"):  # pictures that are called otherwise
        (here / "new" / name).write_bytes((here / "new" / "1.png").read_bytes())
    for name in ("a.mp4", "b.MP4", "c.pdf", "notes.txt", "Thumbs.db"):
        (here / "new" / name).write_bytes(b"%PDF-1.7" if name == "c.pdf" else b"\0")
    code, _, err = command(model[0], "new", "--out", "a.csv")
    assert code == 0
    assert [from_csv(row["path"]) for row in rows("a.csv")] == [
        f"new/{name}" for name in ("1.png", "2.HEIC", "3", "4.png.download")
    ]
    assert rows("a.skipped.csv") == [
        {"image": "new/a.mp4", "reason": "left out: .mp4"},
        {"image": "new/b.MP4", "reason": "left out: .mp4"},
        {"image": "new/c.pdf", "reason": "left out: .pdf (PDF)"},
    ]
    assert "warning: left out, as no image that can be read here: 2 .mp4, 1 .pdf (PDF)" in err
    for path in (here / "new").iterdir():
        if path.suffix not in (".mp4", ".txt"):
            path.unlink()
    code, _, err = command(model[0], "new", "--out", "b.csv")
    assert (code, err) == (1, "error: no image can be read: 1 .mp4\n")
    (here / "new" / "a.mp4").unlink()
    code, _, err = command(model[0], "new", "--out", "b.csv")
    assert (code, err) == (1, "error: new: no images there, but 1 .txt\n")


def test_no_list_stays_where_nothing_is_bad_any_more(model, command, here):
    noise(here / "x.png")
    (here / "bad.png").touch()
    assert command(model[0], "x.png", "bad.png", "--out", "a.csv")[0] == 0
    assert rows("a.skipped.csv") == [{"image": "bad.png", "reason": "the file is empty"}]
    assert command(model[0], "x.png", "--out", "a.csv")[0] == 0
    assert not Path("a.skipped.csv").exists()


def test_what_is_bad_is_told_on_standard_error_where_answers_are_printed(model, command, here):
    noise(here / "x.png")
    (here / "\x1b[31mbad.png").touch()
    code, out, err = command(model[0], "\x1b[31mbad.png", "x.png")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert "skipped: [31mbad.png: the file is empty" in err
    assert ", 1 could not be read" in err


def test_nothing_is_left_where_no_image_can_be_read(model, command, here):
    for name in ("a.png", "b.png"):
        (here / name).touch()
    (here / "none").mkdir()
    code, _, err = command(model[0], "a.png", "b.png", "--out", "a.csv")
    assert code == 1
    assert err == "error: none of 2 images can be read: a.png: the file is empty\n"
    code, _, err = command(model[0], "none", "--out", "a.csv")
    assert (code, err) == (1, "error: none: no images there\n")
    assert not list(here.glob("*a.csv*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x.png", "--out", "nowhere/a.csv"], "there is no folder nowhere; make it first"),
        (["x.png", "--out", "a.cvs"], "must end in .csv, .parquet, .jsonl; did you mean '.csv'?"),
        (["x.png", "--out", "sub.csv"], "--out=sub.csv is a folder"),
        (["list.csv", "--out", "list.csv"], "is what images are read from"),
        (["x.png", "--out", "mine/predictions.csv"], "is what the run said of its own images"),
        (["y.png"], "y.png: no such image, folder or table; did you mean 'x.png'?"),
        (["x.png", "--device", "cdua"], "--device=cdua: Expected one of cpu"),
        (["x.png", "--precision", "0.9", "--threshold", "0.5"], "leave one out"),
    ],
)
def test_what_is_typed_wrong_is_one_line(words, said, model, command, here):
    noise(here / "x.png")
    (here / "sub.csv").mkdir()
    (here / "mine").mkdir()
    (here / "mine" / "result.json").touch()
    (here / "list.csv").write_text("path\nx.png\n")
    code, out, err = command(model[0], *words)
    assert (code, out) == (1, "")
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--precision", "0.9", "--threshold", "0.5"), "--threshold is one: leave one out"),
        (("--precision", "0"), "--precision 0: give a share between 0 and 1, such as 0.98"),
        (("--precision", "1"), "--precision 1: give a share between 0 and 1, such as 0.98"),
    ],
)
def test_a_threshold_that_cannot_be_is_refused_before_the_network_is_loaded(
    words, said, command, here
):
    noise(here / "x.png")
    code, out, err = command("no such run", "x.png", *words)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("out", ["a.csv", "a.parquet"])
def test_the_list_of_what_was_left_out_is_no_table_to_read_where_it_would_go(
    out, model, command, here
):
    noise(here / "x.png")
    left = "image,reason\nx.png,it was cut off\n"
    (here / "a.skipped.csv").write_text(left)
    words = (model[0], "a.skipped.csv", "--path-column", "image", "--out")
    code, _, err = command(*words, out)
    assert code == 1
    assert "a.skipped.csv, which would list what cannot be read, is what images are read" in err
    assert (here / "a.skipped.csv").read_text() == left
    assert command(*words, "b.csv")[0] == 0
    assert (here / "a.skipped.csv").read_text() == left


def test_a_full_disk_is_one_line_with_words_of_this_command(model, command, here, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("regraft.predict.predict.answers", full)
    noise(here / "x.png")
    code, _, err = command(model[0], "x.png", "--out", "a.csv")
    assert code == 1
    assert "a.csv: the disk is full; free space" in err
    assert "with --out=<file>; a.csv was not written" in err
    assert "hydra" not in err
    assert not list(here.glob("*a.csv*"))


def test_thresholds_are_what_is_asked_for(model, command, here):
    noise(here / "x.png")
    assert ",true" in command(model[0], "x.png", "--threshold", "1", "--top", 1)[1]
    _, out, err = command(model[0], "x.png", "--threshold", "0", "--top", 1)
    assert out.splitlines()[1].endswith(",false")
    assert "0 abstained (below 0)" in err


def test_a_network_without_calibration_says_so(model, command, here):
    stored = torch.load(model[0] / trained.BEST, weights_only=True)
    del stored["regraft"]["calibration"]
    torch.save(stored, here / "last.ckpt")
    noise(here / "x.png")
    code, _, err = command("last.ckpt", "x.png")
    assert code == 0
    assert "last.ckpt is not calibrated" in err


def test_a_network_that_diverged_says_nothing(model, command, here):
    stored = torch.load(model[0] / trained.BEST, weights_only=True)
    stored["state_dict"]["head.layers.1.bias"].fill_(float("nan"))
    torch.save(stored, here / "best.ckpt")
    noise(here / "x.png")
    code, _, err = command("best.ckpt", "x.png", "--out", "a.csv")
    assert code == 1
    assert "NaN" in err
    assert not list(here.glob("*a.csv*"))


class Interrupted(io.RawIOBase):
    """Standard input of which half is read when the process is told to end."""

    def __init__(self, text, look):
        super().__init__()
        self.parts, self.look = [text, text], look

    def readable(self):
        return True

    def readinto(self, buffer):
        if len(self.parts) == 1:
            self.look()
            signal.raise_signal(signal.SIGTERM)
        part = self.parts.pop()
        buffer[: len(part)] = part
        return len(part)


def test_who_is_stopped_leaves_nothing_half(model, command, here, monkeypatch):
    noise(here / "x.png")
    (here / "a.csv").write_text("from before")
    unfinished = []
    stream = Interrupted(b"x.png\n" * 20, lambda: unfinished.extend(here.glob(".a.csv.*")))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(stream)))
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        words = ("-", "--out", "a.csv", "--batch-size", 4)
        code, _, err = command(model[0], *words)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (code, err) == (1, "error: interrupted; a.csv was not written\n")
    assert unfinished
    assert (here / "a.csv").read_text() == "from before"
    assert sorted(p.name for p in here.iterdir()) == ["a.csv", "x.png"]


def test_a_team_head_needs_the_word_of_the_user(here, command, monkeypatch):
    network = run(here / "run")
    stored = torch.load(here / "run" / trained.BEST, weights_only=True)
    stored["regraft"]["config"]["head"] = {"_target_": "their_heads.ours"}
    torch.save(stored, here / "run" / trained.BEST)
    noise(here / "x.png")
    code, _, err = command("run", "x.png")
    assert code == 1
    assert "head._target_=their_heads.ours: not from a trusted module; if you trust it" in err
    (here / "their_heads.py").write_text(
        "from regraft.head import Head, linear\n"
        "def ours(features: int, map_shape: object, classes: int) -> Head:\n"
        "    return linear(features, None, classes)\n"
    )
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setenv("REGRAFT_TRUST", "")
    from regraft import trust

    trust.users.cache_clear()
    try:
        code, out, err = command("run", "x.png", "--trust", "their_heads")
    finally:
        monkeypatch.undo()
        trust.users.cache_clear()
    assert code == 0, err
    want = torch.softmax(network(torch.zeros(1, 3, 64, 64)), 1).shape[1]
    assert len(out.splitlines()[1].split(",")) == 4 + 2 * (want - 1)


def test_the_options_are_listed(command):
    code, out, _ = command("--help")
    assert code == 0
    for word in ("--out", "--top", "--precision", "--threshold", "--path-column", "--trust"):
        assert word in out
