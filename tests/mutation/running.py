"""Runs the tests of each mutant in a fork of a process that has collected them already.

A plugin of pytest: its loop runs every test once to see which lines each of them reaches, then,
for one mutant after the other, forks a child that puts the mutant's code in place of the
original's and runs the tests that reach its statement, until one fails.
"""

import ast
import contextlib
import gc
import mmap
import os
import resource
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType, FrameType, FunctionType
from typing import Any, NamedTuple

import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.mutants import Mutant, called_on_loading, functions

KILLED, SURVIVED, TIMEOUT, UNREACHED, UNFIT = "killed", "survived", "timeout", "unreached", "unfit"
EXITS = {0: SURVIVED, 1: KILLED, 2: KILLED, 3: UNFIT}  # 2: pytest itself was brought down

# Seconds of a test in the first run; a test that takes longer is left out.
LONGEST_TEST = 0.4
# Seconds of processor time for a mutant's test: these, and so many times what it took before.
SPARE, TIMES = 1.0, 5
# Seconds by the clock after which a mutant that waits for something is stopped.
WAITS = 120
# Memory that a mutant may take beyond what the collected tests take.
MORE_MEMORY = 1 << 30

Place = tuple[str, int]  # a file's name and a line


class Outcome(NamedTuple):
    """How a mutant fared; ``test`` is the one that noticed it, ``tests`` how many could."""

    mutant: Mutant
    status: str
    tests: int
    test: str
    seconds: float


class MutationRun:
    """``sources`` are the files by module name; ``done`` gets each outcome as it comes."""

    def __init__(
        self,
        sources: dict[str, tuple[Path, bytes]],
        mutants: Sequence[Mutant],
        jobs: int,
        done: Callable[[Outcome], None],
    ) -> None:
        self.sources = sources
        self.mutants = mutants
        self.jobs = jobs
        self.done = done
        self.failed: list[str] = []  # tests that fail without any mutant
        self.left_out: list[str] = []
        self.items: list[pytest.Item] = []
        self.seconds: dict[int, float] = {}
        self.reached: dict[Place, list[int]] = defaultdict(list)
        self.killers: dict[str, list[int]] = defaultdict(list)  # the last first, by function
        self.board = mmap.mmap(-1, 4 * jobs)  # the children's answers: which test failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> pytest.TestReport | None:
        """No traceback: that takes longer than the tests."""
        error = call.excinfo
        if error is None or item.get_closest_marker("xfail"):
            return None
        skipped = isinstance(error.value, pytest.skip.Exception)
        return pytest.TestReport(
            item.nodeid, item.location, {}, "skipped" if skipped else "failed", None, call.when
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = session.items
        self.look()
        if not self.failed:
            gc.collect()
            self.live = Live(self.sources)
            gc.freeze()
            self.agree()
            self.all()
        return True

    # --- which test reaches what ------------------------------------------------------------------

    def look(self) -> None:
        files = {str(path) for path, _ in self.sources.values()}
        for number, item in enumerate(self.items):
            begun = time.process_time()
            following = self.items[number + 1] if number + 1 < len(self.items) else None
            with traced(files) as places:
                reports = runtestprotocol(item, log=False, nextitem=following)
            self.seconds[number] = time.process_time() - begun
            if any(report.failed for report in reports):
                self.failed.append(item.nodeid)
            elif self.seconds[number] > LONGEST_TEST:
                self.left_out.append(item.nodeid)
            else:
                for place in places:
                    self.reached[place].append(number)

    def tests_of(self, mutant: Mutant) -> list[int]:
        """The tests that reach a mutant, those first that are likely and quick to notice."""
        path = str(self.sources[mutant.module][0])
        first, last = mutant.lines
        reach = {
            test for line in range(first, last + 1) for test in self.reached.get((path, line), ())
        }
        likely = [test for test in self.killers[mutant.function] if test in reach]
        rest = sorted(reach.difference(likely), key=self.seconds.__getitem__)
        return likely[:8] + sorted(likely[8:] + rest, key=self.seconds.__getitem__)

    # --- the mutants ------------------------------------------------------------------------------

    def all(self) -> None:
        running: dict[int, tuple[int, Mutant, list[int], float]] = {}
        free = list(range(self.jobs))
        waiting = iter(self.mutants)
        for mutant in waiting:
            tests = self.tests_of(mutant)
            if not tests:
                early = mutant.function in called_on_loading(self.sources[mutant.module][1])
                self.done(Outcome(mutant, UNFIT if early else UNREACHED, 0, "", 0.0))
                continue
            slot = free.pop()
            running[self.fork(mutant, tests, slot)] = (slot, mutant, tests, time.monotonic())
            while running and not free:
                self.reap(running, free)
        while running:
            self.reap(running, free)

    def agree(self) -> None:
        """Leave out tests that fail in a fork without any mutant: they would notice everything."""
        while True:
            tests = sorted({test for tests in self.reached.values() for test in tests})
            pid = self.fork(None, tests, 0)
            _, status = os.waitpid(pid, 0)
            if status == 0:
                return
            wrong = self.noticed(0)
            self.left_out.append(self.items[wrong].nodeid)
            for known in self.reached.values():
                if wrong in known:
                    known.remove(wrong)

    def fork(self, mutant: Mutant | None, tests: list[int], slot: int) -> int:
        self.put(slot, -1)
        pid = os.fork()
        if pid == 0:
            code = 2
            try:
                code = self.child(mutant, tests, slot)
            finally:
                os._exit(code)
        return pid

    def reap(
        self, running: dict[int, tuple[int, Mutant, list[int], float]], free: list[int]
    ) -> None:
        pid, status = os.wait()
        if pid not in running:
            return
        slot, mutant, tests, begun = running.pop(pid)
        free.append(slot)
        exited = os.waitstatus_to_exitcode(status)
        outcome = TIMEOUT if exited < 0 else EXITS[exited]
        noticed = self.noticed(slot)
        test = ""
        if noticed >= 0 and outcome == KILLED:
            test = self.items[noticed].nodeid
            known = self.killers[mutant.function]
            if noticed in known:
                known.remove(noticed)
            known.insert(0, noticed)
        self.done(Outcome(mutant, outcome, len(tests), test, time.monotonic() - begun))

    def put(self, slot: int, value: int) -> None:
        self.board[4 * slot : 4 * slot + 4] = value.to_bytes(4, "little", signed=True)

    def noticed(self, slot: int) -> int:
        return int.from_bytes(self.board[4 * slot : 4 * slot + 4], "little", signed=True)

    def child(self, mutant: Mutant | None, tests: list[int], slot: int) -> int:
        """Exit status: 0 no test failed, 1 one did, 3 the change cannot be put in place."""
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, WAITS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + MORE_MEMORY,) * 2)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        if mutant is not None and not self.live.put(mutant):
            return 3
        for number, following in zip(tests, [*tests[1:], None], strict=True):
            self.put(slot, number)
            signal.setitimer(signal.ITIMER_PROF, SPARE + TIMES * self.seconds[number])
            after = None if following is None else self.items[following]
            for report in runtestprotocol(self.items[number], log=False, nextitem=after):
                if report.failed:
                    return 1
        return 0


@contextlib.contextmanager
def traced(files: set[str]) -> Iterator[set[Place]]:
    """Collects the lines of ``files`` that run."""
    places: set[Place] = set()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            places.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def called(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        places.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    threading.settrace(called)
    sys.settrace(called)
    try:
        yield places
    finally:
        sys.settrace(None)
        threading.settrace(None)  # type: ignore[arg-type]


class Live:
    """The functions of the modules as this process has them, by the place of their code."""

    def __init__(self, sources: dict[str, tuple[Path, bytes]]) -> None:
        self.sources = sources
        self.found: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
        files = {str(path) for path, _ in sources.values()}
        for thing in gc.get_objects():
            if type(thing) is FunctionType and thing.__code__.co_filename in files:
                self.found[_key(thing.__code__)].append(thing)
        self.caches = [
            thing for thing in gc.get_objects() if type(thing).__name__ == "_lru_cache_wrapper"
        ]
        packages = {path.parent for path, _ in sources.values()}
        self.memos = [memo for package in packages for memo in memos(package)]

    def put(self, mutant: Mutant) -> bool:
        """Give the mutant's code to the functions of its place, and forget cached results.
        False when it is no Python, or no function has it.
        """
        path, source = self.sources[mutant.module]
        changed = mutant.of(source)
        try:
            code = compile(changed, str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
        if mutant.default:
            return self.put_defaults(mutant, changed, code)
        lines = len(source[: mutant.start].splitlines())
        put = False
        for each in codes(code):
            if each.co_firstlineno <= lines and _within(each.co_qualname, mutant.function):
                for function in self.found.get(_key(each), ()):
                    if function.__code__ == each:
                        continue
                    try:
                        function.__code__ = each
                    except ValueError:  # it has other names of the functions around it
                        return False
                    put = True
        for cache in self.caches:
            cache.cache_clear()
        for memo in self.memos:
            memo.clear()
        return put

    def put_defaults(self, mutant: Mutant, changed: bytes, code: CodeType) -> bool:
        node = dict(functions(ast.parse(changed)))[mutant.function]
        each = next(c for c in codes(code) if c.co_qualname == mutant.function)
        for function in self.found.get(_key(each), ()):
            known = function.__globals__

            def value(of: ast.expr, known: dict[str, Any] = known) -> Any:
                return eval(compile(ast.Expression(of), "default", "eval"), known)

            function.__defaults__ = tuple(map(value, node.args.defaults)) or None
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            function.__kwdefaults__ = {name.arg: value(of) for name, of in pairs if of is not None}
            return True
        return False


def memos(package: Path) -> Iterator[dict[Any, Any]]:
    """What the package's modules remember: dicts that begin empty, and those of a ``Memo``."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path is None or Path(path).parent != package:
            continue
        for node in ast.parse(Path(path).read_bytes()).body:
            if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.value) == "{}":
                yield getattr(module, ast.unparse(node.target))
        for value in list(vars(module).values()):
            if type(value).__name__ == "Memo":
                yield value._kept


def codes(code: CodeType) -> Iterator[CodeType]:
    """A code and all in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def _key(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _within(name: str, function: str) -> bool:
    return name == function or name.startswith(f"{function}.")
