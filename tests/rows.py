"""Every row of the compatibility table has a test that proves it.

A test says which with ``@pytest.mark.row("messages.content.image.source")``, more than once if it
proves several. A name that is not in the table stops the run. When the whole suite runs, a row
without a test, or with none that passed, fails it.
"""

from pathlib import Path

import pytest

from deepseek_messages.compatibility import rows

# How a test's report names the rows it proves.
PROPERTY = "row"


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(RowProofs(config), "row-proofs")


class RowProofs:
    """Keeps which rows are proven by which tests, and which of those passed."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._proven: set[str] = set()
        self._failed: set[str] = set()
        # Workers of a divided run only mark; the session that collects their reports judges.
        self._whole = is_whole_run(config) and not hasattr(config, "workerinput")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        known = {row.id for row in rows()}
        for item in items:
            marked = [name for mark in item.iter_markers("row") for name in mark.args]
            unknown = [name for name in marked if name not in known]
            if unknown:
                raise pytest.UsageError(
                    f"{item.nodeid}: not in compatibility.toml: {', '.join(unknown)}"
                )
            item.user_properties.extend((PROPERTY, name) for name in marked)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        if items:
            self._whole = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        names = [str(value) for key, value in report.user_properties if key == PROPERTY]
        if report.failed:
            self._failed.update(names)
        elif report.when == "call" and report.passed:
            self._proven.update(names)

    @property
    def unproven(self) -> list[str]:
        """Rows without a test that passed, or with one that failed."""
        proven = self._proven - self._failed
        return [row.id for row in rows() if row.id not in proven]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        stopped = session.shouldstop or session.shouldfail
        if self._whole and not stopped and session.exitstatus == 0 and self.unproven:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._whole and self.unproven:
            terminalreporter.section("rows of the compatibility table without proof", red=True)
            for name in self.unproven:
                terminalreporter.line(name)


def is_whole_run(config: pytest.Config) -> bool:
    """Whether everything was asked for: no path, no selection, no collection only."""
    option = config.option
    if option.keyword or option.markexpr or option.collectonly or option.maxfail:
        return False
    if getattr(option, "lf", False) or option.deselect or option.ignore or option.ignore_glob:
        return False
    wanted = [Path(config.rootpath, each) for each in config.getini("testpaths")]
    return [Path(each).absolute() for each in config.args] in (wanted, [config.rootpath])
