"""Runs the peers' harness with jobrunner beside them: `python -m tests.bench.against_peers [its own arguments]`.

The harness brings Redis; Postgres is an embedded one of this run's own, fsync on. PEERS names the harness' folder,
`../shared/bench/peers` beside this repository unless set.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from jobrunner import embedded
from jobrunner.store.migrate import migrate
from tests.conftest import ROOT

HARNESS = Path(os.environ.get("PEERS", ROOT.parent / "shared" / "bench" / "peers")) / "bench.py"
APP = Path(__file__).with_name("jobrunner_app.py")
PATHS = os.pathsep.join(map(str, (APP.parent, HARNESS.parent / "adapters", ROOT)))
CONTENDERS = f"""
[[contender]]
name = "jobrunner"
python = "{sys.executable}"
adapter = "{APP}"
worker = ["{{python}}", "{{adapter}}", "worker"]
env = {{ PYTHONPATH = "{PATHS}" }}
conc = {{ idle = 500, io = 1000 }}
many = "batch"
io_big = 5000

[[contender]]
name = "jobrunner, 100 submits at once"
python = "{sys.executable}"
adapter = "{APP}"
worker = ["{{python}}", "{{adapter}}", "worker"]
env = {{ PYTHONPATH = "{PATHS}" }}
conc = {{ idle = 500, io = 1000 }}
many = "gather"

[[front]]
name = "jobrunner"
command = ["env", "PYTHONPATH={PATHS}", "{sys.executable}", "{APP}", "front", "{{port}}"]
"""


async def run(folder: Path, arguments: list[str]) -> int:
    contenders = folder / "contenders.toml"
    contenders.write_text(CONTENDERS)
    async with embedded.running(folder / "data") as servers:
        await migrate(servers.database_url)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HARNESS), "--with", str(contenders), *arguments),
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "JOBRUNNER_DATABASE_URL": servers.database_url,
                "JOBRUNNER_DATA_DIR": str(folder / "data"),
            },
        )
        return await process.wait()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="jobrunner-bench-") as folder:
        sys.exit(asyncio.run(run(Path(folder), sys.argv[1:])))


if __name__ == "__main__":
    main()
