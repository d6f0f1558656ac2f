"""The order of jobs: properties that hold for any jobs, and threads that keep to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driver.cancel import Cancel, Cancelled
from driver.comfy.client import Comfy
from driver.comfy.queue import JobQueue, Router, needs
from story_studio.story import graph, recipes
from story_studio.story.graph import Files, Graph, Owner
from story_studio.story.schema import parse

NONE: frozenset[str] = frozenset()
STILLS, CLIPS = ("a", "b"), ("C", "D")


class Job(NamedTuple):
    arrival: int
    first: str
    last: str
    length: int


class Start(NamedTuple):
    job: int
    at: int


def jobs_of(kinds: list[tuple[str, str]]) -> st.SearchStrategy[list[Job]]:
    """Jobs in order of arrival, with the models that they need at their start and end; "" is none."""
    job = st.tuples(st.integers(0, 300), st.sampled_from(kinds), st.integers(1, 40))
    return st.lists(job, max_size=40).map(
        lambda drawn: [Job(arrival, *kind, length) for arrival, kind, length in sorted(drawn)]
    )


all_jobs = jobs_of(
    [(model, model) for model in ("", *STILLS, *CLIPS)]
    + [(first, last) for first in STILLS for last in CLIPS]
)
max_waits = st.integers(0, 200)


def model(name: str) -> frozenset[str]:
    return frozenset(name)


def serve(jobs: list[Job], max_wait: float) -> list[Start]:
    """When each job starts on a server that is never idle while a job waits."""
    queue, now, arrived, starts = JobQueue(max_wait), 0, 0, []
    while len(starts) < len(jobs):
        while arrived < len(jobs) and jobs[arrived].arrival <= now:
            queue.join(str(arrived), model(jobs[arrived].first), model(jobs[arrived].last))
            arrived += 1
        job = queue.next(now)
        if job is None:
            now = jobs[arrived].arrival
        else:
            starts.append(Start(int(job), now))
            now += jobs[int(job)].length
    assert queue.next(now) is None
    return starts


def swaps(jobs: list[Job], order: list[int]) -> int:
    """How often a model is loaded for a job's start."""
    loaded, count = "", 0
    for job in order:
        count += jobs[job].first not in ("", loaded)
        loaded = jobs[job].last or loaded
    return count


@given(all_jobs, max_waits)
def test_every_job_has_its_turn_once(jobs: list[Job], max_wait: int) -> None:
    assert sorted(start.job for start in serve(jobs, max_wait)) == list(range(len(jobs)))


@given(all_jobs)
def test_without_a_wait_it_is_first_in_first_out(jobs: list[Job]) -> None:
    assert [start.job for start in serve(jobs, 0)] == list(range(len(jobs)))


@given(all_jobs, max_waits)
def test_jobs_that_start_with_the_same_model_keep_their_order(jobs: list[Job], max_wait: int) -> None:
    order = [start.job for start in serve(jobs, max_wait)]
    for first in ("", *STILLS, *CLIPS):
        own = [job for job in order if jobs[job].first == first]
        assert own == sorted(own)


@given(all_jobs, max_waits)
def test_the_oldest_is_passed_over_for_the_wait_and_one_job_at_most(jobs: list[Job], max_wait: int) -> None:
    starts = serve(jobs, max_wait)
    place = {start.job: index for index, start in enumerate(starts)}
    for job in range(len(jobs)):
        behind = max((place[older] for older in range(job)), default=-1)
        later = [start for start in starts[behind + 1 : place[job]] if start.job > job]
        if later:
            last = later[-1]
            assert last.at - max(later[0].at, jobs[job].arrival) < max_wait


@given(jobs_of([("a", "a"), ("C", "C")]), max_waits)
def test_of_two_models_no_job_is_passed_over_for_longer_than_the_wait_and_one_job(
    jobs: list[Job], max_wait: int
) -> None:
    starts = serve(jobs, max_wait)
    place = {start.job: index for index, start in enumerate(starts)}
    for job in range(len(jobs)):
        later = [start for start in starts[: place[job]] if start.job > job]
        if later:
            end = later[-1].at + jobs[later[-1].job].length
            assert end - later[0].at < max_wait + jobs[later[-1].job].length


@given(all_jobs, max_waits)
def test_never_swaps_more_often_than_first_in_first_out(jobs: list[Job], max_wait: int) -> None:
    order = [start.job for start in serve(jobs, max_wait)]
    assert swaps(jobs, order) <= swaps(jobs, list(range(len(jobs))))


@given(all_jobs, st.integers(1, 200))
def test_forced_swaps_are_at_least_the_wait_apart(jobs: list[Job], max_wait: int) -> None:
    starts, loaded, forced = serve(jobs, max_wait), "", []
    for index, (job, at) in enumerate(starts):
        waiting = [start.job for start in starts[index:] if jobs[start.job].arrival <= at]
        if jobs[job].first not in ("", loaded) and any(jobs[w].first in ("", loaded) for w in waiting):
            forced.append(at)
        loaded = jobs[job].last or loaded
    assert all(later - sooner >= max_wait for sooner, later in zip(forced, forced[1:], strict=False))


def test_a_queue_that_only_grows_is_served_in_turns() -> None:
    jobs = [Job(5 * number, "aC"[number % 2], "aC"[number % 2], 10) for number in range(400)]
    order = [start.job for start in serve(jobs, 100)]
    assert swaps(jobs, list(range(400))) == 400
    assert swaps(jobs, order) <= 400 * 10 / 100 + 1


def test_a_story_hands_its_last_model_to_the_next_job() -> None:
    queue = JobQueue(600)
    for job, first, last in (("story", "a", "C"), ("still", "a", "a"), ("clip", "C", "C")):
        queue.join(job, model(first), model(last))
    assert [queue.next(0) for _ in range(4)] == ["story", "clip", "still", None]


def test_a_job_without_models_goes_first_and_leaves_the_loaded_ones() -> None:
    queue = JobQueue(600)
    for job, name in (("still", "a"), ("clip", "C"), ("draft", ""), ("again", "a")):
        queue.join(job, model(name), model(name))
    assert [queue.next(0) for _ in range(4)] == ["draft", "still", "again", "clip"]
    for job, name in (("still", "a"), ("draft", ""), ("clip", "C")):
        queue.join(job, model(name), model(name))
    assert [queue.next(0) for _ in range(3)] == ["draft", "clip", "still"]


def test_several_models_at_once_fit_only_where_all_are_loaded() -> None:
    queue = JobQueue(600)
    queue.join("both", model("ab"), model("ab"))
    queue.join("more", model("aC"), model("aC"))
    queue.join("one", model("b"), model("b"))
    assert [queue.next(0) for _ in range(3)] == ["both", "one", "more"]


@given(all_jobs, max_waits, st.sets(st.integers(0, 39)))
def test_a_removed_job_is_never_next_and_no_other_is_lost(
    jobs: list[Job], max_wait: int, removed: set[int]
) -> None:
    queue = JobQueue(max_wait)
    for number, job in enumerate(jobs):
        queue.join(str(number), model(job.first), model(job.last))
    for number in removed:
        queue.leave(str(number))
    served = [queue.next(now) for now in range(len(jobs) + 1)]
    left = set(range(len(jobs))) - removed
    assert sorted(int(job) for job in served if job is not None) == sorted(left)


def started(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def waits(router: Router, job: str) -> bool:
    return job in router._queue


def test_threads_exclude_each_other_and_all_have_their_turn() -> None:
    router, inside, most, done = Router(0.01), 0, 0, []

    def act(number: int) -> None:
        nonlocal inside, most
        for turn in range(10):
            kind = model("aC"[(number + turn) % 2])
            with router.turn(f"{number}.{turn}", kind, kind):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1
                done.append((number, turn))

    for thread in [started(lambda number=number: act(number)) for number in range(16)]:
        thread.join(120)
    assert most == 1
    assert sorted(done) == [(number, turn) for number in range(16) for turn in range(10)]


def test_threads_have_their_turn_in_the_order_of_the_queue() -> None:
    router, order = Router(), []

    def act(job: str) -> None:
        with router.turn(job, model(job[0]), model(job[0])):
            order.append(job)

    with router.turn("story", model("a"), model("C")):
        threads = []
        for job in ("a1", "C1", "a2", "C2"):
            threads.append(started(lambda job=job: act(job)))
            until(lambda job=job: waits(router, job))
    for thread in threads:
        thread.join(10)
    assert order == ["C1", "C2", "a1", "a2"]


def test_a_waiting_job_is_cancelled_alone() -> None:
    router, ended = Router(), {}
    cancels = {"second": Cancel(), "third": Cancel()}

    def act(job: str) -> None:
        try:
            with router.turn(job, model("a"), model("a"), cancels[job]):
                ended[job] = "done"
        except Cancelled:
            ended[job] = "cancelled"

    with router.turn("first", NONE, NONE):
        threads = [started(lambda job=job: act(job)) for job in cancels]
        until(lambda: waits(router, "second") and waits(router, "third"))
        cancels["second"].set()
        threads[0].join(10)
        assert ended == {"second": "cancelled"}
    threads[1].join(10)
    assert ended == {"second": "cancelled", "third": "done"}


def test_a_turn_ends_however_its_job_ends() -> None:
    router = Router()

    def events():
        with router.turn("generator", NONE, NONE):
            yield 1
            yield 2

    with pytest.raises(RuntimeError, match="trouble"), router.turn("failing", NONE, NONE):
        raise RuntimeError("trouble")
    running = events()
    assert next(running) == 1
    running.close()
    with router.turn("generator", NONE, NONE):
        pass


def test_a_name_is_taken_while_its_job_waits_or_runs() -> None:
    router = Router()
    with (
        router.turn("one", NONE, NONE),
        pytest.raises(ValueError, match="'one' is already"),
        router.turn("one", NONE, NONE),
    ):
        pass
    with router.turn("one", NONE, NONE):
        pass


def test_serves_asyncio_through_threads() -> None:
    router, inside, most = Router(), 0, 0

    def act(job: str) -> str:
        nonlocal inside, most
        with router.turn(job, NONE, NONE):
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
        return job

    async def act_all() -> list[str]:
        return await asyncio.gather(*(asyncio.to_thread(act, str(number)) for number in range(8)))

    assert asyncio.run(act_all()) == [str(number) for number in range(8)]
    assert most == 1


class FakeComfy(Comfy):
    """A server that has some diffusion models, and every node of the profiles that reads one."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")

    def models(self, folder: str) -> list[str]:
        return ["z.safetensors", "s2v.safetensors"] if folder == "diffusion_models" else ["whole.ckpt"]

    def object_info(self, refresh: bool = False) -> dict:
        names = {
            "UNETLoader": ["unet_name"],
            "CheckpointLoaderSimple": ["ckpt_name"],
            "VAELoader": ["vae_name"],
        }
        names["StoryStudio_S2VModels"] = ["diffusion_model", "lora"]
        return {
            node: {"input": {"required": {name: [["z.safetensors"]] for name in inputs}}}
            for node, inputs in names.items()
        }


STILL, CLIP = Owner("still", None), Owner("clip", None)


def test_needs_separates_the_phases_and_omits_other_models() -> None:
    built = Graph()
    built.add(STILL, "", "UNETLoader", unet_name="z.safetensors")
    built.add(STILL, "", "VAELoader", vae_name="ae.safetensors")
    built.add(CLIP, "", "StoryStudio_S2VModels", diffusion_model="s2v.safetensors", lora="fast.safetensors")
    assert needs(built, FakeComfy()) == ({"z.safetensors"}, {"s2v.safetensors"})


@pytest.mark.parametrize("owner", [STILL, CLIP])
def test_needs_of_one_phase_are_those_of_start_and_end(owner: Owner) -> None:
    built = Graph()
    built.add(owner, "", "CheckpointLoaderSimple", ckpt_name="whole.ckpt")
    assert needs(built, FakeComfy()) == ({"whole.ckpt"}, {"whole.ckpt"})


def test_a_draft_needs_no_model() -> None:
    scenes = [{"id": "one", "prompt": "A cat", "audio": "cat.mp3"}]
    story = parse({"project_id": "tale", "profile": "draft", "scenes": scenes})
    plan = graph.Plan(story, recipes.load_profile("draft"), {"one": Files("cat.mp3", None)})
    assert needs(graph.build([plan]), FakeComfy()) == (NONE, NONE)
