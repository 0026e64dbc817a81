"""What every test may rely on: no real AWS within reach, reproducible properties, and `shared`."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

# A developer's profile, role or instance credentials must never meet a test.
os.environ.update(
    AWS_ACCESS_KEY_ID="testing",
    AWS_SECRET_ACCESS_KEY="testing",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
    SFLAB_PRICES="",  # prices that somebody fetched would change what bills come to
)
for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
    os.environ.pop(name, None)

# Timing is no property; and what CI finds, it must find again.
settings.register_profile("sflab", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("sflab")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Recorded histories and collected definitions: the folder beside the checkout, or SFLAB_SHARED. Skips without."""
    folder = Path(os.environ.get("SFLAB_SHARED", ROOT.parent / "shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no {folder}: put the shared folder beside the checkout, or set SFLAB_SHARED")
    return folder
