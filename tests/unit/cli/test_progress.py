import io

from deepseek_messages.cli.progress import ProgressLine


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_line_redrawn_when_the_percentage_changes():
    out = Terminal()
    line = ProgressLine(out, "m")
    for done in (0, 1, 2, 500, 999, 1000):
        line("load", done, 1000)
    line.end()
    drawn = out.getvalue().split("\r")[1:]
    assert len(drawn) == 4
    assert drawn[-1].endswith("] 100 %\n")
    assert "\n" not in "".join(drawn[:-1])


def test_elsewhere_each_step_is_a_line():
    out = io.StringIO()
    line = ProgressLine(out, "m")
    for step in ("download", "unpack"):
        for done in (0, 500_000, 1_000_000):
            line(step, done, 1_000_000)
    line.end()
    assert out.getvalue() == "downloading m (1 MB)\nunpacking m (1 MB)\n"


def test_an_unknown_size_has_no_figure():
    out = io.StringIO()
    ProgressLine(out, "m")("download", 5, 0)
    assert out.getvalue() == "downloading m\n"


def test_nothing_shown_leaves_no_line():
    out = Terminal()
    ProgressLine(out, "m").end()
    assert out.getvalue() == ""
