from collections import Counter

from bench.flame import layer_time, own_time, short_name, table


def test_own_time_is_that_of_the_innermost_function() -> None:
    folded = (
        "run (x/site-packages/uvicorn/main.py:1);serve (x/src/app/web.py:9) 3\n"
        "run (x/site-packages/uvicorn/main.py:1) 2\n"
    )
    assert own_time(folded) == {"app/web: serve": 3, "uvicorn/main: run": 2}


def test_threads_that_wait_for_work_are_left_out() -> None:
    assert own_time("_worker (/usr/lib/python3.11/concurrent/futures/thread.py:64) 5\n") == {}


def test_a_function_is_named_by_its_package_wherever_it_lies() -> None:
    frame = "Pool.get.<locals>.take (/usr/lib/python3.11/site-packages/a/b.py:10)"
    assert short_name(frame) == "a/b: Pool.get.<locals>.take"
    assert short_name("no frame") == "no frame"


def test_the_table_has_the_first_functions_of_each_load() -> None:
    text = table("own time", {"one": Counter(a=3, b=1), "two": Counter(b=1)})
    assert text.splitlines() == [
        "| own time, % | one | two |",
        "|---|---|---|",
        "| `b` | 25.0 | 100.0 |",
        "| `a` | 75.0 | 0.0 |",
    ]


def test_a_layers_time_is_that_of_the_innermost_one() -> None:
    folded = (
        "go (/a/src/deepseek_messages/web/app.py:1);to (/a/src/deepseek_messages/wire/x.py:2) 3\n"
        "go (/a/src/deepseek_messages/web/app.py:1);write (/usr/lib/python3.11/socket.py:2) 2\n"
        "main (/usr/lib/python3.11/asyncio/runners.py:7) 1\n"
    )
    assert layer_time(folded) == {"wire": 3, "web": 2, "none": 1}
