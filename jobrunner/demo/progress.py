"""Which jobs run and which are done, live: a bar for each task, in the order in which they were first needed."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Bars(Progress):
    """The length of a bar grows with each job that is submitted."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def submitted(self, task: str) -> None:
        if task not in self._bars:
            self._bars[task] = self.add_task(task, total=0)
        bar = self._bars[task]
        self.update(bar, total=(self.tasks[bar].total or 0) + 1)

    def completed(self, task: str) -> None:
        self.advance(self._bars[task])
