import sys
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import timm
import torch
from hub import serving, use
from huggingface_hub import constants
from safetensors.torch import load, save

from regraft import hub, weights
from regraft.backbone import Backbone
from regraft.errors import RegraftError

NAME = "test_resnet.r160_in1k"
REPOSITORY = f"timm/{NAME}"


@pytest.fixture(scope="module")
def content():
    torch.manual_seed(3)
    return save(timm.create_model("test_resnet").state_dict())


@pytest.fixture
def server(tmp_path, monkeypatch, content):
    weights._read.cache_clear()
    with serving() as server:
        server.files[REPOSITORY, "model.safetensors"] = content
        use(server.endpoint, tmp_path / "cache", monkeypatch)
        yield server


@pytest.fixture
def waits(monkeypatch):
    """What the client wants to wait for before it tries again, in seconds; it does not."""
    wanted = []
    monkeypatch.setattr(time, "sleep", wanted.append)
    return wanted


@pytest.fixture
def retries_at_once(monkeypatch):
    """The client waits for 1 s before each of five."""
    monkeypatch.setattr("huggingface_hub.file_download.time", Mock(time))


def graft():
    backbone = Backbone(name=NAME, weights="pretrained", size=64)
    return backbone, backbone.graft(pretrained=range(len(backbone.stages)))


def has(backbone, content):
    stored = load(content)
    return all(torch.equal(t, stored[name]) for name, t in backbone.net.state_dict().items())


def refused(match):
    with pytest.raises(RegraftError, match=match) as caught:
        graft()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def nothing_is_kept(cache):
    return not any(path.is_file() for path in Path(cache).rglob("blobs/*"))


def test_weights_are_fetched_once_and_what_is_fetched_is_said(server, content, capsys):
    backbone, found = graft()
    said = capsys.readouterr().err

    assert has(backbone, content)
    assert found.source == REPOSITORY
    assert f"fetching {REPOSITORY} (model.safetensors, {len(content) / 1e6:.1f} MB)" in said
    assert f"from {server.endpoint} to {constants.HF_HUB_CACHE}" in said
    assert len(server.downloads) == 1

    asked = len(server.asked)
    weights._read.cache_clear()
    assert has(graft()[0], content)
    assert len(server.asked) == asked
    assert "fetching" not in capsys.readouterr().err


@pytest.fixture
def no_network(monkeypatch):
    """Sockets that note who wants one, and give none."""
    wanted = []

    def refuse(*words, **_):
        wanted.append(words)
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None, raising=False)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket", refuse)
    return wanted


def test_what_is_in_the_cache_needs_no_network(server, content, monkeypatch, request):
    graft()
    weights._read.cache_clear()
    wanted = request.getfixturevalue("no_network")
    assert has(graft()[0], content)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert has(graft()[0], content)
    assert not wanted


def test_without_a_network_there_is_one_line_at_once(server, no_network, waits):
    refused("neither on this machine nor reachable .*no network")
    assert 0 < len(no_network) <= 2  # the client asks once more, without a pause
    assert not waits


def test_offline_and_not_in_the_cache_is_said_without_asking(server, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("neither on this machine nor reachable .HF_HUB_OFFLINE is set.")
    assert not server.asked


def test_an_older_repository_has_a_pickle_instead(server, content, tmp_path):
    torch.save(load(content), tmp_path / "w.bin")
    server.files = {(REPOSITORY, "pytorch_model.bin"): (tmp_path / "w.bin").read_bytes()}
    assert has(graft()[0], content)
    assert len(server.downloads) == 1


def test_a_cut_download_goes_on_where_it_was_cut(
    server, content, monkeypatch, retries_at_once, capsys, caplog
):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    server.cuts = 1
    assert has(graft()[0], content)
    assert server.downloads[1].endswith(f" bytes={len(content) // 2 // 1000 * 1000}-")
    assert capsys.readouterr().err.count("\n") == 1
    assert not [r for r in caplog.records if r.name.startswith("huggingface_hub")]


def test_a_hub_that_sends_no_more_is_one_line_and_the_next_try_completes(
    server, content, retries_at_once, capsys
):
    server.cuts = 100
    refused(f"{REPOSITORY}: the download failed and nothing of it is used")
    assert capsys.readouterr().err.count("\n") == 1
    assert nothing_is_kept(constants.HF_HUB_CACHE)
    server.cuts = 0
    assert has(graft()[0], content)


@pytest.mark.parametrize("kind", ["no safetensors", "right length"])
def test_a_damaged_file_is_named_and_once_removed_fetched_again(server, content, kind):
    if kind == "right length":
        server.damage = True
        why = "its content is not what the hub has"
    else:
        server.files[REPOSITORY, "model.safetensors"] = b"<html>log in</html>"
        why = "page of HTML"
    text = refused(why)
    damaged = Path(text.partition("pretrained: ")[2].partition(" is damaged")[0])
    assert damaged.parent.name == "blobs"
    assert "remove it, and the next run fetches it again" in text
    refused(why)

    damaged.unlink()
    server.damage = False
    server.files[REPOSITORY, "model.safetensors"] = content
    assert has(graft()[0], content)


def test_a_file_that_was_damaged_on_this_machine_is_found_out(server, content):
    graft()
    weights._read.cache_clear()
    (blob,) = Path(constants.HF_HUB_CACHE).rglob("blobs/*")
    blob.write_bytes(content[:-4] + b"\0\1\2\3")
    refused("its content is not what the hub has")


def test_a_repository_that_is_not_there_is_one_line(server):
    server.files.clear()
    refused(f"{REPOSITORY}: {server.endpoint} has no such repository")


def test_a_repository_without_weights_is_one_line(server):
    server.files = {(REPOSITORY, "README.md"): b"later"}
    refused(f"{REPOSITORY}: has no model.safetensors or pytorch_model.bin")


@pytest.mark.parametrize(("status", "match"), [(500, "HTTP status 500"), (403, "HTTP status 403")])
def test_a_hub_that_fails_is_quoted_at_once(server, status, match, waits):
    server.status = status
    refused(match)
    assert not waits
    assert [words[:4] for words in server.asked if REPOSITORY in words] == ["HEAD"]


def test_a_hub_without_a_hub_behind_it_is_one_line(server, monkeypatch):
    """As in a hotel, where every address answers."""

    def portal(self, with_content=False):
        self._say(200, {"Content-Length": "0"})

    monkeypatch.setattr(server.RequestHandlerClass, "_answer", portal)
    refused("X-Repo-Commit")


def once_said(text, event, patch):
    """Set the event as soon as the text is said."""
    say = hub._say

    def said(line):
        say(line)
        if text in line:
            event.set()

    patch.setattr(hub, "_say", said)


def test_a_slow_hub_is_waited_for_and_that_is_said(server, content, monkeypatch, capsys):
    monkeypatch.setattr(hub, "REACH_S", 0.05)
    server.answer.clear()
    once_said("waiting for", server.answer, monkeypatch)
    assert has(graft()[0], content)
    assert f"waiting for {server.endpoint}" in capsys.readouterr().err


def test_a_silent_hub_is_given_up(server, monkeypatch):
    monkeypatch.setattr(hub, "REACH_S", 0.05)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    server.answer.clear()
    refused("neither on this machine nor reachable .*(no answer in|[Tt]ime)")


def test_a_look_up_of_the_name_that_hangs_is_given_up(server, monkeypatch):
    monkeypatch.setattr(hub, "REACH_S", 0.05)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    given_up = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: given_up.wait(30))
    use("http://hub.example", constants.HF_HUB_CACHE, monkeypatch)
    refused("neither on this machine nor reachable .no answer in 0.2 s")
    given_up.set()


def test_a_slow_download_says_now_and_then_that_it_goes_on(server, content, monkeypatch, capsys):
    monkeypatch.setattr(hub, "QUIET_S", 0.1)
    server.go_on.clear()
    once_said("still fetching", server.go_on, monkeypatch)
    assert has(graft()[0], content)
    assert f"still fetching {REPOSITORY}: " in capsys.readouterr().err


@pytest.mark.parametrize("worker", [False, True])
def test_a_bar_is_drawn_in_a_terminal_but_not_by_a_sweeps_workers(
    server, content, monkeypatch, capsys, worker
):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("multiprocessing.parent_process", lambda: worker or None)
    monkeypatch.setattr(sys.modules["huggingface_hub.utils.tqdm"], "progress_bar_states", {})
    assert has(graft()[0], content)
    assert ("100%" in capsys.readouterr().err) != worker


def test_a_hub_that_stops_in_the_middle_is_given_up(server, monkeypatch, retries_at_once):
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.1)
    server.go_on.clear()
    refused("the download failed and nothing of it is used")
    assert nothing_is_kept(constants.HF_HUB_CACHE)
