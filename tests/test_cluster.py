"""The connection to Ray."""

import pytest

from orchestrator.errors import Unreachable
from orchestrator.plan.site import Site
from orchestrator.run.cluster import connected


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:many"])
def test_an_address_where_nothing_listens_is_told_at_once(address: str) -> None:
    with (
        pytest.raises(Unreachable, match=rf"no Ray cluster at {address} \(site lab\)"),
        connected(Site(site="lab", ray_address=address)),
    ):
        pass
