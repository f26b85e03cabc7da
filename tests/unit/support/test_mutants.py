"""Which changes of a source file ``make mutants`` tries."""

import pytest

from tests.mutation.mutants import called_on_loading, mutants_of

CASES = {
    "x < 1": ["x <= 1", "x < 2"],
    "x is None": ["x is not None"],
    "x not in y": ["x in y"],
    "x + y": ["x - y"],
    "x and y or z": ["x or y or z", "x and y and z"],
    "not x": [" x"],
    "-x": ["x"],
    "True": ["False"],
    "None": [],
    "'a'": ["'XXa'"],
    'b""': ['b"XX"'],
    "f'{x}'": ["f'XX{x}'"],
    "f(x, 1)": ["f(None, 1)", "f(x, 2)"],
    "f(x, k=y)": ["f(None, k=y)", "f(x)"],
    "f(k=x, m=y)": ["f(m=y)", "f(k=x)"],
    "f(x for x in y)": ["f(None)"],
    "x.find(y)": ["x.rfind(y)", "x.find(None)"],
    "x if y else z": ["x if (not (y)) else z"],
    "[x for x in y if x]": ["[x for x in y if (not (x))]"],
    "(lambda: x)": ["(lambda: None)"],
    "garbage('words')": [],
    "garbage(f'{x} words', status=1)": ["garbage(f'{x} words')", "garbage(f'{x} words', status=2)"],
    "cast('T', x)": [],
}


@pytest.mark.parametrize(("expression", "changed"), CASES.items())
def test_an_expression_is_changed_to(expression: str, changed: list[str]) -> None:
    source = f"def f(x):\n    yield {expression}\n".encode()
    found = [mutant.of(source).decode() for mutant in mutants_of("m", source)]
    assert sorted(found) == sorted(f"def f(x):\n    yield {each}\n" for each in changed)


STATEMENTS = {
    "x = y": ["x = None"],
    "x = 1": ["x = 2"],
    "x += y": ["x -= y", "x = y"],
    "x()": ["pass"],
    "return x": ["return None"],
    "return None": [],
    "break": ["continue"],
    "if x: pass": ["if (not (x)): pass"],
    "assert x == 1": [],
    "raise Refusal('words', path='p')": [
        "raise Refusal('words')",
        "raise Refusal('words', path='XXp')",
    ],
    "x: int = y": ["x: int = None"],
}


@pytest.mark.parametrize(("statement", "changed"), STATEMENTS.items())
def test_a_statement_is_changed_to(statement: str, changed: list[str]) -> None:
    source = f"def f(x):\n    '''Words.'''\n    {statement}\n".encode()
    found = [mutant.of(source).decode() for mutant in mutants_of("m", source)]
    assert sorted(found) == sorted(f"def f(x):\n    '''Words.'''\n    {each}\n" for each in changed)


MATCH = """
def f(x):
    match x:
        case 1:
            pass
        case _ if x:
            pass
"""


def test_a_branch_of_match_is_taken_away() -> None:
    found = [mutant.of(MATCH.encode()).decode() for mutant in mutants_of("m", MATCH.encode())]
    assert found == [
        MATCH.replace("case 1:", "case 1 if False:"),
        MATCH.replace("if x", "if (not (x))"),
    ]


CLASS = b"""
LIMIT = 1

class A:
    field: int = 1

    def method(self, x: int = 1, *, y: int | None = None) -> int:
        return x


class B(Protocol):
    def method(self) -> int:
        return 1
"""


def test_methods_and_defaults_are_changed_and_tables_and_protocols_are_not() -> None:
    found = mutants_of("m", CLASS)
    assert [(m.id, m.function, m.default, m.text) for m in found] == [
        ("m.1", "A.method", True, b"2"),
        ("m.2", "A.method", False, b"None"),
    ]


def test_functions_that_make_tables_are_known() -> None:
    source = b"A = f(1)\nB: int = g.h(2)\n\ndef i():\n    j()\n"
    assert called_on_loading(source) == {"f", "h"}
