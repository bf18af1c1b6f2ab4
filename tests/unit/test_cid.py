"""CIDs as JavaScript's ipfs-unixfs-importer works them out, with Kubo's settings for CIDv1."""

import pytest

from jobrunner.sandbox.pinata.cid import CHUNK_BYTES, MAX_LINKS, cid


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"),
        (3, "bafkreifojmzibzlof6xyh5auu3r5vpu5l67brf3fitaf73isdlglqw2t7q"),
        (CHUNK_BYTES, "bafkreibruh455iawsviqslif5c7uurdcfdemh22mtnytyzvnzn75kpejxy"),
        (CHUNK_BYTES + 1, "bafybeiexg2oqkfnj56l7fcmawswqbijt5shq4b5rg6a546uwpkqqzwjioi"),
        (1_000_000, "bafybeibx62obrkybp46hx3ivh53q4rnptgkunpgtwiib5lfelfgt2ekihm"),
        ((MAX_LINKS + 1) * CHUNK_BYTES + 5, "bafybeig3ditv32awk5ax5w3lwugydoz5vhxs6vsycpmyv4qdosmpgv47da"),
    ],
)
def test_a_cid_is_the_one_that_others_work_out(size_bytes: int, expected: str) -> None:
    content = (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]
    assert cid(content[at : at + CHUNK_BYTES] for at in range(0, size_bytes, CHUNK_BYTES)) == expected
