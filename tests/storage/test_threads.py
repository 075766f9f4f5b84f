"""Threads that work for another one: interrupts leave neither a deadlock nor a thread."""

import gc
import random
import signal
import subprocess
import sys
import threading
import weakref

import pytest

from amplitude_cohort_s3.storage.threads import Threads

INTERRUPTED_RUNS = """
import random, signal, threading, time
from contextlib import closing
from amplitude_cohort_s3.diff._threads import run_in_threads

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
random.seed(SEED)
interrupted = 0
end = time.monotonic() + 4
while time.monotonic() < end:
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 3e-3))
            with closing(run_in_threads([str] * 2, range(40))) as results:
                list(results)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
assert interrupted > 20
end = time.monotonic() + 20
while threading.active_count() > 1 and time.monotonic() < end:
    time.sleep(0.01)
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.fixture
def threads():
    threads = Threads(2, "tested")
    yield threads
    threads.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("tested")]


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no such timer")
def test_an_interrupt_at_any_moment_leaves_no_deadlock_and_no_thread():
    script = INTERRUPTED_RUNS.replace("SEED", str(random.randrange(1000)))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_answer_has_the_result_or_the_error_of_the_function(threads):
    assert threads.submit(lambda: 7).result() == 7
    failed = threads.submit(lambda: 1 // 0)
    assert isinstance(failed.error(), ZeroDivisionError)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed.result()


def test_cancelled_functions_are_not_called_and_do_not_block(threads):
    gate, called = threading.Event(), []
    for _ in range(2):
        threads.submit(lambda: gate.wait(20))
    waiting = threads.submit(lambda: called.append(1))
    threading.Timer(0.05, gate.set).start()
    threads.close(cancel=True)
    assert waiting.error() is not None
    assert called == []


def test_all_functions_are_called_before_the_end(threads):
    called = []
    for n in range(20):
        threads.submit(lambda n=n: called.append(n))
    threads.close()
    assert sorted(called) == list(range(20))


def test_results_are_not_kept(threads):
    class Large:
        pass

    kept = weakref.ref(threads.submit(Large).result())
    threads.submit(int).result()
    threads.submit(int).result()
    gc.collect()
    assert kept() is None


def test_without_another_thread_the_work_is_done(threads, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert threads.submit(lambda: 7).result() == 7
