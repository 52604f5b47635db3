"""The stack of this package's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.clustered_stack import ClusteredStack
from tests.faults.proxies import Proxies


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusteredStack]:
    """Yield one stack that the tests break and mend in turn; it ends with the last of them."""
    folder = tmp_path_factory.mktemp("clusters")
    with Proxies() as proxies, ClusteredStack(folder, proxies) as running:
        yield running
