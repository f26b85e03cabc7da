import pytest
from click.testing import CliRunner

from deepseek_messages.cli.models import models
from deepseek_messages.store import models as store
from deepseek_messages.store.models import ModelError


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_MESSAGES_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(models, arguments)


def put_model(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    path = folder / store.SMOLLM2.file_name
    with path.open("wb") as file:
        file.truncate(store.SMOLLM2.file_bytes)
    return path


def test_list_of_an_empty_cache_says_where_it_is(run, tmp_path):
    result = run("list")
    assert result.exit_code == 0
    assert str(tmp_path) in result.stderr


def test_list_shows_reference_size_and_path(run, tmp_path):
    path = put_model(tmp_path)
    assert run("list").stdout == f"smollm2\t98 MB\t{path}\n"


def test_pull_of_a_model_that_is_there_prints_its_path(run, tmp_path):
    path = put_model(tmp_path)
    assert run("pull").stdout == f"{path}\n"


def test_pull_that_fails_says_why_and_exits_1(run, monkeypatch):
    def fail(self, model, progress):
        progress("download", 0, 100)
        raise ModelError("no network: do this")

    monkeypatch.setattr(store.ModelStore, "fetch", fail)
    result = run("pull")
    assert result.exit_code == 1
    assert "Error: no network: do this" in result.stderr


def test_rm_tells_what_was_freed(run, tmp_path):
    path = put_model(tmp_path)
    assert run("rm", "smollm2").stdout == "Removed smollm2: 98 MB freed.\n"
    assert not path.exists()


def test_rm_of_nothing_exits_1(run):
    assert run("rm", "smollm2").exit_code == 1
