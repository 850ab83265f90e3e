"""Which versions a record names."""

import numpy as np

from rllib_releds.versions import PACKAGES, installed


def test_installed_packages_have_versions_and_others_have_none():
    assert installed("numpy") == np.__version__
    assert all(map(installed, PACKAGES))
    assert installed("no-such-package-of-ours") is None
