"""The first ten losses of eleven jobs are what they were: `make golden` renews the file."""

import golden
import pytest


@pytest.mark.parametrize("name", golden.JOBS)
def test_the_losses_are_those_that_were_committed(name, finished_run):
    run = finished_run(*golden.JOBS[name])
    assert run.returncode == 0, run.stderr
    now, was = run.witness["losses"][: golden.STEPS], golden.known()[name]

    assert len(was) == golden.STEPS
    if golden.differs(was, now):
        pytest.fail(golden.advice({name: was}, {name: now}), pytrace=False)


@pytest.mark.usefixtures("untaken_signals")  # as of a suite in the background of a shell
def test_a_job_that_was_resumed_at_step_five_has_the_losses_of_one_that_was_not(finished_run):
    whole = finished_run(*golden.JOBS["finetune"]).witness["losses"]
    now, was = golden.resumed_losses(), golden.known()[golden.RESUMED]

    assert now == whole  # to the bit
    if golden.differs(was, now[: golden.STEPS]):
        pytest.fail(golden.advice({"resumed": was}, {"resumed": now}), pytrace=False)


def test_every_strategy_that_trains_by_itself_is_there(repository):
    """`auto` trains as the strategy that it chooses."""
    there = {path.stem for path in (repository / "conf" / "strategy").glob("*.yaml")}
    assert there - {"auto"} == {*golden.STRATEGIES}


def test_a_changed_number_is_seen():
    was = [0.69315, 0.42067]
    assert not golden.differs(was, [0.69315, 0.42074])
    assert golden.differs(was, [0.69315, 0.42087])
    assert golden.differs(was, [0.69315])
    assert "<-- changed" in golden.table({"finetune": was}, {"finetune": [0.7, 0.42]})
