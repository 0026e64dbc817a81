"""The sandbox: moto behind one boto3 session, and nothing of it anywhere else. Real boto3; no network."""

import subprocess
import sys
import threading

import boto3
import botocore.exceptions
import pytest

import sflab as sf
from sflab.backends.sandbox import NotSimulatedError, Sandbox


def table(session, name="orders"):
    session.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


def test_a_session_is_answered_in_the_process():
    session = Sandbox().session
    table(session)
    resource = session.resource("dynamodb").Table("orders")
    resource.put_item(Item={"id": "1", "n": 2})
    assert resource.get_item(Key={"id": "1"})["Item"]["n"] == 2


def test_two_sandboxes_are_two_worlds_with_the_same_names():
    one, other = Sandbox(), Sandbox()
    for sandbox in (one, other):
        table(sandbox.session)
        sandbox.session.client("s3").create_bucket(Bucket="the-bucket")  # buckets' names are unique in all of moto
    one.session.client("s3").put_object(Bucket="the-bucket", Key="k", Body=b"1")
    assert "Contents" not in other.session.client("s3").list_objects_v2(Bucket="the-bucket")
    assert Sandbox().session.client("dynamodb").list_tables()["TableNames"] == []
    assert "dynamodb" in repr(one)
    assert "s3" in repr(one)


def test_the_same_requests_get_the_same_ids():
    def ids(seed):
        sqs = Sandbox(seed=seed).session.client("sqs")
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        return [url, *(sqs.send_message(QueueUrl=url, MessageBody="x")["MessageId"] for _ in range(3))]

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    assert len({*ids(1)}) == 4


def test_motos_own_randomness_and_settings_are_given_back():
    from moto.core.config import default_user_config
    from moto.moto_api._internal import mock_random

    mock_random.seed(7)
    before, settings = mock_random.getstate(), {key: dict(value) for key, value in default_user_config.items()}
    Sandbox().session.client("sqs").create_queue(QueueName="q")
    assert mock_random.getstate() == before
    assert default_user_config == settings


def test_beside_mock_aws_each_has_its_own():
    from moto import mock_aws

    sandbox = Sandbox()
    s3 = sandbox.session.client("s3")
    s3.create_bucket(Bucket="the-bucket")
    s3.put_object(Bucket="the-bucket", Key="k", Body=b"mine")
    table(sandbox.session, "mine")
    with mock_aws():
        table(boto3.Session("k", "s", region_name="us-east-1"), "theirs")
        theirs = boto3.Session("k", "s", region_name="us-east-1").client("dynamodb")
        theirs_s3 = boto3.Session("k", "s", region_name="us-east-1").client("s3")
        theirs_s3.create_bucket(Bucket="the-bucket")
        table(sandbox.session, "mine-too")
        assert theirs.list_tables()["TableNames"] == ["theirs"]
    assert sandbox.session.client("dynamodb").list_tables()["TableNames"] == ["mine", "mine-too"]
    assert s3.get_object(Bucket="the-bucket", Key="k")["Body"].read() == b"mine"  # mock_aws closes all it knows


def test_another_session_is_not_answered(monkeypatch):
    """What the user's own boto3 sends goes where it always went: here, to a port where nobody listens."""
    Sandbox().session.client("sqs").list_queues()
    own = boto3.Session("k", "s", region_name="us-east-1").client(
        "sqs", endpoint_url="http://127.0.0.1:9", config=boto3.session.Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        own.list_queues()


@pytest.mark.parametrize(
    ("service", "call", "said"),
    [
        ("translate", lambda c: c.list_languages(), "translate:ListLanguages"),
        ("sqs", lambda c: c.start_message_move_task(SourceArn="arn:aws:sqs:us-east-1:123456789012:q"), "sqs"),
        ("lambda", lambda c: c.invoke(FunctionName="f"), "sf.Local(functions="),
    ],
)
def test_what_moto_does_not_answer_is_refused_and_never_sent(service, call, said):
    with pytest.raises(NotSimulatedError) as caught:
        call(Sandbox().session.client(service))
    assert said in str(caught.value)
    assert isinstance(caught.value, sf.BackendError)


def test_an_endpoint_elsewhere_is_refused_too():
    client = Sandbox().session.client("sqs", endpoint_url="https://example.org")
    with pytest.raises(NotSimulatedError, match="nothing was sent"):
        client.list_queues()


def test_the_environment_and_the_users_files_are_not_read(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile work]\nregion = eu-north-1\nendpoint_url = http://127.0.0.1:9\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    session = Sandbox(region="ap-southeast-2").session
    assert session.region_name == "ap-southeast-2"
    url = session.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    assert url == "https://sqs.ap-southeast-2.amazonaws.com/123456789012/q"


def test_threads_take_turns():
    sandboxes = [Sandbox(seed=i) for i in range(4)]

    def work(sandbox):
        table(sandbox.session)
        for i in range(20):
            sandbox.session.client("dynamodb").put_item(TableName="orders", Item={"id": {"S": str(i)}})

    threads = [threading.Thread(target=work, args=(sandbox,)) for sandbox in sandboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts = [s.session.client("dynamodb").scan(TableName="orders")["Count"] for s in sandboxes]
    assert counts == [20] * 4


def test_nothing_is_imported_before_a_service_is_called():
    code = (
        "import sflab as sf, sys; local = sf.Local(tasks={'*': 1}); repr(local); "
        "m = sf.StateMachine.load({'StartAt': 'A', 'States': {'A': {'Type': 'Task', "
        "'Resource': 'arn:aws:states:::sqs:sendMessage', 'End': True}}}); "
        "local.start_execution(m).result(); print([m for m in ('boto3', 'botocore', 'moto') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_moto_the_error_says_how_to_install_it():
    code = (
        "import sys; sys.modules['moto'] = None\nimport sflab as sf\n"
        "try: sf.Local().session\nexcept ImportError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install" in done.stdout
    assert "moto" in done.stdout


def test_what_a_service_of_motos_needs_besides_is_told():
    code = (
        "import sys; sys.modules['joserfc'] = None\nimport sflab as sf\n"
        "try: sf.Local().session.client('cognito-idp').list_user_pools(MaxResults=1)\n"
        "except sf.BackendError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("moto needs another package to answer cognito-identity-provider:ListUserPools")
