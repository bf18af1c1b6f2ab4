"""The workers that live: whether they are there, and are set up alike."""

from collections.abc import Collection, Iterator, Sequence

from jobrunner.observe.probes import Check
from jobrunner.store.overview import Worker


def judge_workers(crew: Sequence[Worker], *, queue: str, version: str, tasks: Collection[str], shared: bool) -> Check:
    """`shared`: artifacts lie where the settings say, not in each machine's data directory. Pure."""
    crew = [worker for worker in crew if worker.alive and worker.queue == queue]
    if not crew:
        return Check(ok=False, detail=f"none is alive on queue {queue!r}: start `jobrunner worker`")
    wrong = list(_wrong(crew, version, tasks, shared=shared))
    return Check(ok=not wrong, detail="; ".join(wrong) or f"{len(crew)} alive on queue {queue!r}")


def _wrong(crew: Sequence[Worker], version: str, tasks: Collection[str], *, shared: bool) -> Iterator[str]:
    others = {worker.version for worker in crew} - {version}
    if others:
        yield f"some run jobrunner {', '.join(sorted(others))}, and this is {version}: bring all to one version"
    if all(worker.tasks is not None for worker in crew):
        unknown = sorted(set(tasks) - {task for worker in crew for task in worker.tasks or ()})
        if unknown:
            yield f"none knows {', '.join(unknown)}: give the workers the same task_modules"
    hosts = {worker.host for worker in crew}
    if len(hosts) > 1 and not shared:
        yield (
            f"they run on {len(hosts)} machines ({', '.join(sorted(hosts))}), each with artifacts of its own: name a "
            "directory that all of them and the API mount, in artifacts.url"
        )
