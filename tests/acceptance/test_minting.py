"""`jobrunner mint deploy` on the sandbox's chain, and on one that is not the one in settings."""

from dataclasses import replace

from jobrunner.sandbox.eth.accounts import DEV_KEYS
from tests.processes import Jobrunner


def test_a_collection_is_deployed_and_its_setting_printed(jobrunner: Jobrunner) -> None:
    with jobrunner.start("services", "--json") as services:
        sandbox = services.ready()["sandbox"]
        deployed = jobrunner("mint", "deploy", "--name", "Tales", "--symbol", "TALE")
        assert deployed.returncode == 0, deployed.stderr
        address = deployed.stdout.rpartition('contract = "')[2][:42]
        assert f'[mint]\ncontract = "{address}"' in deployed.stdout
        assert int(address, 16)

        elsewhere = {
            "JOBRUNNER_PROVIDERS__ETHEREUM__BASE_URL": f"{sandbox}/eth",
            "JOBRUNNER_MINT__SIGNING_KEY": DEV_KEYS[1],
            "JOBRUNNER_MINT__CHAIN_ID": "1",
        }
        refused = replace(jobrunner, more=elsewhere)("mint", "deploy")
        assert refused.returncode == 1
        assert "is on chain 31337, but `mint.chain_id` is 1" in refused.stderr
        assert DEV_KEYS[1][2:] not in refused.stdout + refused.stderr
