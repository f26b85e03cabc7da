"""Scripts as lists of steps."""

from deepseek_messages.upstreams.double.script import Finish, Text, steps


def test_one_step_alone_is_an_answer():
    assert steps(Text("a")) == [Text("a")]


def test_a_sequence_of_steps_is_an_answer():
    assert steps((Text("a"), Finish("length"))) == [Text("a"), Finish("length")]
