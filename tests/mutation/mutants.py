"""Small changes of a source file, each of which a test should notice.

What is changed: code in functions and methods. Comparisons, arithmetic, ``and``/``or``/``not``,
conditions, numbers, strings, booleans, returned and assigned values, arguments, calls for their
effect, branches of ``match``, ``break``/``continue``, methods of strings that have a twin.

What is not, since no caller can tell or no test should repeat it: docstrings, annotations,
assertions, decorators, the wording of errors (``MESSAGES``), expressions inside f-strings, and
everything outside functions (tables, patterns, limits, defaults of structs). A function that makes
a table while its module is loaded, and does nothing later, cannot be changed in time either.
"""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

# Calls whose positional strings are wording for people.
MESSAGES = frozenset(
    {"Refusal", "Fault", "garbage", "cut", "connect", "timeout", "busy"}
    | {"IllegalMoveError", "ValueError", "TypeError"}
)
# Calls that only the type checker reads.
TYPING = frozenset({"cast", "assert_never", "TypeVar"})

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "/"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitOr: ("|", "&"),
    ast.BitAnd: ("&", "|"),
    ast.BitXor: ("^", "&"),
}
_TWINS = [
    ("lower", "upper"),
    ("lstrip", "rstrip"),
    ("find", "rfind"),
    ("index", "rindex"),
    ("partition", "rpartition"),
    ("startswith", "endswith"),
    ("removeprefix", "removesuffix"),
    ("append", "appendleft"),
    ("popleft", "pop"),
    ("isdisjoint", "issubset"),
    ("search", "match"),
]
TWINS = dict(_TWINS) | {second: first for first, second in _TWINS}

_QUOTE = re.compile(rb"[a-zA-Z]*(\"\"\"|'''|\"|')")


class Mutant(NamedTuple):
    """One change: ``text`` in place of the bytes from ``start`` to ``end``.

    ``lines`` are the first and last line of its statement: a test that runs none of them cannot
    notice. ``default`` says that it changes a parameter's default.
    """

    module: str
    number: int
    function: str
    lines: tuple[int, int]
    start: int
    end: int
    text: bytes
    default: bool

    @property
    def id(self) -> str:
        return f"{self.module}.{self.number}"

    def of(self, source: bytes) -> bytes:
        """The source with this change."""
        return source[: self.start] + self.text + source[self.end :]


def mutants_of(module: str, source: bytes) -> list[Mutant]:
    """All changes of a module, in the order of their places."""
    tree = ast.parse(source)
    found: list[Mutant] = []
    for name, function in functions(tree):
        finder = _Finder(source, module, name)
        finder.function(function)
        found += finder.found
    found.sort(key=lambda mutant: (mutant.start, mutant.end, mutant.text))
    return [mutant._replace(number=number) for number, mutant in enumerate(found, 1)]


def called_on_loading(source: bytes) -> set[str]:
    """Names that are called outside functions: such functions make tables."""
    outside = [
        node
        for node in ast.parse(source).body
        if not isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    calls = (each for node in outside for each in ast.walk(node) if isinstance(each, ast.Call))
    return {_name(call.func) for call in calls}


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions and methods with their qualified names; those inside others are theirs."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef) and "Protocol" not in map(ast.unparse, node.bases):
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    yield f"{node.name}.{method.name}", method


class _Finder(ast.NodeVisitor):
    def __init__(self, source: bytes, module: str, name: str) -> None:
        self.source = source
        self.module = module
        self.name = name
        self.found: list[Mutant] = []
        self.starts = [0]
        for line in source.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.lines = (0, 0)
        self.default = False
        self.wording = False  # inside the wording of an error

    # --- places and texts -------------------------------------------------------------------------

    def start(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> bytes:
        return self.source[self.start(node) : self.end(node)]

    def put(self, start: int, end: int, text: bytes) -> None:
        mutant = Mutant(
            self.module, 0, self.name, self.lines, start, end, text, default=self.default
        )
        self.found.append(mutant)

    def swap(self, node: ast.AST, text: bytes) -> None:
        self.put(self.start(node), self.end(node), text)

    def between(self, left: ast.AST, right: ast.AST, word: str, other: str) -> None:
        """``other`` for the operator ``word`` that stands between two nodes."""
        start, end = self.end(left), self.start(right)
        pattern = re.escape(word).replace(r"\ ", r"\s+").encode()
        if at := re.search(pattern, self.source[start:end]):
            self.put(start + at.start(), start + at.end(), other.encode())

    def negated(self, test: ast.expr) -> None:
        """A condition turned round, unless a change of its operators does that already."""
        if not isinstance(test, ast.Compare | ast.BoolOp) and not (
            isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        ):
            self.swap(test, b"(not (" + self.text(test) + b"))")

    # --- statements -------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            outside = self.lines
            body = getattr(node, "body", None) or getattr(node, "cases", None)
            last = node.end_lineno or node.lineno
            if isinstance(node, ast.Match):
                last = node.subject.end_lineno or last
            elif body:
                last = max(node.lineno, body[0].lineno - 1)
            self.lines = (node.lineno, last)
            super().visit(node)
            self.lines = outside
        else:
            super().visit(node)

    def function(self, node: ast.FunctionDef) -> None:
        self.lines, self.default = (node.lineno, node.end_lineno or node.lineno), True
        for value in [*node.args.defaults, *node.args.kw_defaults]:
            if value is not None:
                self.visit(value)
        self.default = False
        self.visit_FunctionDef(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        documented = ast.get_docstring(node, clean=False) is not None
        for statement in node.body[documented:]:
            self.visit(statement)

    def visit_Assert(self, node: ast.Assert) -> None:
        pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.assigned(node.value)
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.assigned(node.value)
        self.generic_visit(node)

    def assigned(self, value: ast.expr) -> None:
        if not isinstance(value, ast.Constant):
            self.swap(value, b"None")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        word, other = OPERATORS[type(node.op)]
        self.between(node.target, node.value, f"{word}=", f"{other}=")
        self.between(node.target, node.value, f"{word}=", "=")
        self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            return
        if not isinstance(node.value, ast.Constant):
            self.swap(node.value, b"None")
        self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            if _name(node.value.func) in TYPING:
                return
            self.swap(node, b"pass")
        self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        self.negated(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.negated(node.test)
        self.generic_visit(node)

    def visit_Break(self, node: ast.Break) -> None:
        self.swap(node, b"continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self.swap(node, b"break")

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc is not None:
            self.visit(node.exc)

    def visit_match_case(self, node: ast.match_case) -> None:
        outside, self.lines = self.lines, (node.pattern.lineno, node.body[0].lineno)
        if node.guard is None:
            at = self.end(node.pattern)
            while self.source[at : at + 1] != b":":  # a pattern in parentheses
                at += 1
            if not any(_never(statement) for statement in node.body):
                self.put(at, at, b" if False")
        else:
            self.negated(node.guard)
            self.visit(node.guard)
        self.lines = outside
        for statement in node.body:
            self.visit(statement)

    # --- expressions ------------------------------------------------------------------------------

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negated(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.negated(test)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.assigned(node.value)
        self.visit(node.value)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.swap(node.body, b"None")
        self.visit(node.body)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
            self.between(left, right, *COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.between(node.left, node.right, *OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(left, right, word, other)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub | ast.Invert):
            sign = 3 if isinstance(node.op, ast.Not) else 1
            self.put(self.start(node), self.start(node) + sign, b"")
        self.visit(node.operand)

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name in TYPING:
            for argument in node.args[1:]:
                self.visit(argument)
            return
        if isinstance(node.func, ast.Attribute) and name in TWINS:
            end = self.end(node.func)
            self.put(end - len(name), end, TWINS[name].encode())
        self.visit(node.func)
        for argument in node.args:
            outside, self.wording = self.wording, self.wording or name in MESSAGES
            worded = self.wording and isinstance(argument, ast.JoinedStr)
            if not (worded or isinstance(argument, ast.Constant | ast.Starred)):
                alone = isinstance(argument, ast.GeneratorExp) and self.text(argument)[:1] == b"("
                self.swap(argument, b"(None)" if alone else b"None")
            self.visit(argument)
            self.wording = outside
        self.keywords(node)

    def keywords(self, node: ast.Call) -> None:
        before: ast.AST | None = node.args[-1] if node.args else None
        for position, keyword in enumerate(node.keywords):
            if keyword.arg is not None:
                if before is not None:
                    self.put(self.end(before), self.end(keyword), b"")
                elif len(node.keywords) > 1:
                    self.put(self.start(keyword), self.start(node.keywords[position + 1]), b"")
                else:
                    self.put(self.start(keyword), self.end(node) - 1, b"")
            self.visit(keyword.value)
            before = keyword

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        self.spelled(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        match node.value:
            case bool():
                self.swap(node, str(not node.value).encode())
            case int() | float():
                self.swap(node, repr(node.value + 1).encode())
            case str() | bytes():
                self.spelled(node)

    def spelled(self, node: ast.expr) -> None:
        quote = _QUOTE.match(self.text(node))
        if quote is not None and not self.wording:
            at = self.start(node) + quote.end()
            self.put(at, at, b"XX")


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case _:
            return ""


def _never(statement: ast.stmt) -> bool:
    """``assert_never(…)``: a branch for the type checker."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and _name(statement.value.func) == "assert_never"
    )
