"""A server that others wrote: moto's, over HTTP, with its own interpreter of state machines."""

import urllib.request

import pytest


@pytest.fixture(scope="module")
def moto():
    """The address of a server that is there for a module's tests."""
    from moto.core.config import default_user_config
    from moto.server import ThreadedMotoServer

    before = dict(default_user_config["stepfunctions"])
    default_user_config["stepfunctions"]["execute_state_machine"] = True
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    yield url
    reset = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset, timeout=10).close()
    server.stop()
    default_user_config["stepfunctions"].update(before)
