"""Service tasks over a boto3 session: names, shapes, errors, jobs. Real boto3 and moto, and AWS's recordings.

The recordings are ``../shared/conformance`` beside the checkout; where they are not, what needs them skips.
"""

import json
import random
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import sflab as sf
from sflab.asl.fields import OPTIMIZED
from sflab.asl.model import StatesError, resource
from sflab.backends import shapes
from sflab.backends.buckets import LAST_MODIFIED
from sflab.backends.jobs import JOBS, RENAMED
from sflab.backends.sandbox import Sandbox
from sflab.backends.services import OPTIMIZED_AS
from sflab.engine.messages import ScheduleTask, TaskSubmitted, TaskSucceeded

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def machine(name, parameters, **more):
    state = {"Type": "Task", "Resource": f"arn:aws:states:::{name}", "Parameters": parameters, "End": True}
    return sf.StateMachine.load({"StartAt": "Call", "States": {"Call": {**state, **more}}})


@pytest.fixture
def local():
    """A sandbox with one of each: the table ``orders``, a queue, a topic, a FIFO topic and a bucket."""
    local = sf.Local()
    session = local.session
    session.client("dynamodb").create_table(
        TableName="orders", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}], BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )  # fmt: skip
    local.queue = session.client("sqs").create_queue(QueueName="queue")["QueueUrl"]
    local.topic = session.client("sns").create_topic(Name="topic")["TopicArn"]
    local.fifo = session.client("sns").create_topic(Name="t.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    session.client("s3").create_bucket(Bucket="bucket-name")
    return local


def run(local, name, parameters, **more):
    return local.start_execution(machine(name, parameters, **more))


ITEM = {"id": {"S": "id1"}, "data": {"S": "HelloWorld"}}


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("DBInstanceIdentifier", "DbInstanceIdentifier"),
        ("SourceDBClusterIdentifier", "SourceDBClusterIdentifier"),
        ("ETag", "ETag"),
        ("ChecksumCRC32", "ChecksumCRC32"),
        ("MD5OfMessageBody", "Md5OfMessageBody"),
        ("ARN", "Arn"),
        ("SSEKMSKeyId", "SsekmsKeyId"),
        ("executionArn", "ExecutionArn"),
        ("S", "S"),
        ("BOOL", "Bool"),
    ],
)
def test_members_are_spelled_as_the_sdk_for_java_2_spells_them(name, spelled):
    assert shapes.java_member(name) == spelled


@pytest.mark.parametrize(
    ("service_id", "name"),
    [
        ("DynamoDB", "DynamoDb"),
        ("S3", "S3"),
        ("SFN", "Sfn"),
        ("Secrets Manager", "SecretsManager"),
        ("EC2", "Ec2"),
        ("CloudWatch Logs", "CloudWatchLogs"),
        ("RDS Data", "RdsData"),
        ("IoT Data Plane", "IotDataPlane"),
        ("Cognito Identity Provider", "CognitoIdentityProvider"),
    ],
)
def test_services_are_named_as_the_sdk_for_java_2_names_them(service_id, name):
    assert shapes.java_class(service_id) == name


@pytest.mark.parametrize(
    ("service", "name"),
    [
        ("dynamodb", "dynamodb"), ("sfn", "stepfunctions"), ("eventbridge", "events"), ("cloudwatchlogs", "logs"),
        ("costexplorer", "ce"), ("cognitoidentityprovider", "cognito-idp"), ("iotdataplane", "iot-data"),
        ("elasticloadbalancingv2", "elbv2"), ("bedrockagentruntime", "bedrock-agent-runtime"),
        ("resourcegroupstaggingapi", "resourcegroupstaggingapi"), ("rdsdata", "rds-data"), ("config", "config"),
        ("databasemigration", "dms"), ("nosuch", None),
    ],
)  # fmt: skip
def test_services_are_found_by_step_functions_names(service, name):
    assert shapes.botocore_name(service) == name


def test_every_optimized_integration_is_known_here():
    """Each has its names, and each of its actions an operation: but for Kubernetes's, and two of EMR's by name."""
    own = {"apigateway", "http"}
    assert set(OPTIMIZED_AS) == set(OPTIMIZED) - own
    none = {
        f"{service}:{action}"
        for service, actions in OPTIMIZED.items()
        if service not in own
        for action in actions
        if shapes.operation(service, RENAMED.get((service, action), (action,))[0]) is None
    }
    assert none == {
        "bedrock:invokeModel", "eks:call", "eks:runJob",
        "elasticmapreduce:modifyInstanceFleetByName", "elasticmapreduce:modifyInstanceGroupByName",
    }  # fmt: skip


@pytest.mark.parametrize("key", sorted(JOBS), ids=":".join)
def test_what_a_job_is_asked_about_is_there(key):
    """The operation to look with exists, and the job and its state stand where the table says."""
    job = JOBS[key]
    operation = shapes.operation(key[0], job.describe)
    shape = job.shape(operation.output_shape)
    for step in job.status:
        shape = shape.members[step]
    named = set(getattr(shape, "enum", None) or job.done | job.failed)
    assert (job.done | job.failed) - named <= {"CREATE_FAILED", "DELETE_FAILED", "FAILED", "EXPIRED"}


# ── AWS's recordings ─────────────────────────────────────────────────────────────────────────────────────────────────

LIKE = {
    "sqs:sendMessage", "sns:publish", "events:putEvents", "dynamodb:putItem", "dynamodb:getItem", "dynamodb:updateItem",
    "dynamodb:deleteItem", "aws-sdk:dynamodb:putItem", "aws-sdk:dynamodb:getItem", "aws-sdk:dynamodb:updateItem",
    "aws-sdk:dynamodb:query", "aws-sdk:s3:getObject", "aws-sdk:s3:putObject", "aws-sdk:s3:listObjects",
    "aws-sdk:secretsmanager:listSecrets",
}  # fmt: skip


def recorded():
    """Each task of AWS's that can be asked again here, once: (name, case, task)."""
    found = {}
    for path in sorted((SHARED / "conformance" / "cases").glob("*/*.json")):
        for task in json.loads(path.read_text("utf-8")).get("tasks") or ():
            name = f"{task.get('resourceType')}:{task.get('resource', '').partition('.')[0]}"
            if name in LIKE and not (isinstance(task.get("outcome"), dict) and "timed_out" in task["outcome"]):
                found.setdefault(json.dumps([name, task["parameters"], *map(str, task["outcome"])]), (name, path, task))
    return [pytest.param(name, task, id=f"{name}-{path.stem[-8:]}") for name, path, task in found.values()]


def concrete(value, local, service):
    """Put what is here in the place of the recording's names."""
    if isinstance(value, dict):
        return {
            key: local.queue if key == "QueueUrl" and "no_such" not in item and service.endswith("sqs")
            else "orders" if key == "TableName" else concrete(item, local, service)
            for key, item in value.items()
        }  # fmt: skip
    if isinstance(value, list):
        return [concrete(item, local, service) for item in value]
    return value


def order(value):
    """The names in a value, in their order, with what holds them."""
    if isinstance(value, dict):
        return {key: order(item) for key, item in value.items()}
    return [order(item) for item in value] if isinstance(value, list) else None


def prepared(local, service, action, task):
    """Make what the task was recorded to find, and return its parameters."""
    outcome, parameters = task["outcome"], concrete(task["parameters"], local, service)
    refused = str(outcome.get("error"))
    if action in ("getItem", "updateItem", "query"):
        item = outcome["output"].get("Item", ITEM)
        run(local, "dynamodb:putItem", {"TableName": "orders", "Item": item})
    elif action == "getObject":
        body = outcome["output"]["Body"].encode()
        local.session.client("s3").put_object(Bucket="bucket-name", Key="file_key", Body=body)
    elif action == "publish":
        topic = local.topic + "x" if "NotFound" in refused else local.fifo if "Invalid" in refused else local.topic
        parameters["TopicArn"] = topic
    if "ResourceNotFoundException" in refused:
        parameters["TableName"] = "there-is-no-such-table"
    return parameters


def same_failure(reply, wanted):
    assert reply.error == wanted["error"]
    if isinstance(wanted["cause"], dict):
        assert order(json.loads(reply.cause)) == order(wanted["cause"])
    elif "Name or service" not in wanted["cause"]:
        said = re.sub(r"Extended Request ID: [0-9a-f=]+", "Extended Request ID: <extended_request_id>", reply.cause)
        assert UUID.search(said)
        assert re.sub(r"(?<!Extended )Request ID: [0-9a-f-]+", "Request ID: <request_id>", said) == wanted["cause"]


def same_metadata(ours, theirs):
    """Some were recorded before AWS kept connections alive, or with other capitals: these say nothing of the order."""
    assert (ours is None) == (theirs is None)
    if theirs and list(theirs["HttpHeaders"]) == list(ours["HttpHeaders"]):
        assert list(ours["AllHttpHeaders"]) == list(theirs["AllHttpHeaders"])
        for name in ("Content-Type", "Content-Length"):
            assert ours["HttpHeaders"][name] == theirs["HttpHeaders"][name]
        assert UUID.fullmatch(ours["HttpHeaders"]["x-amzn-RequestId"])


@pytest.mark.skipif(not SHARED.exists(), reason="AWS's recordings are not here")
@pytest.mark.parametrize(("name", "task"), recorded())
def test_tasks_answer_as_aws_was_recorded_to(local, name, task):
    service, _, action = name.rpartition(":")
    token = task["resource"].endswith(".waitForTaskToken")
    pattern = "waitForTaskToken" if token else ""
    parameters = prepared(local, service, action, task)
    command = ScheduleTask(1, "S", "/", 1, "task", "", service, task["resource"], pattern, parameters)
    ((_, reply),) = local._services.answer(command, random.Random(0), at=0.0)
    wanted = task["submitted"] if token else task["outcome"]
    if "error" in wanted:
        same_failure(reply, wanted)
        return
    assert isinstance(reply, TaskSubmitted if token else TaskSucceeded)
    ours, theirs = dict(reply.output), dict(wanted["output"])
    same_metadata(ours.pop("SdkHttpMetadata", None), theirs.pop("SdkHttpMetadata", None))
    if service == "aws-sdk:s3":  # moto gives fewer members than S3 does, none that S3 does not, and in S3's order
        assert [key for key in theirs if key in ours] == list(ours)
        assert ours["ETag"] == theirs["ETag"]
    else:
        assert list(ours) == list(theirs)
        assert order(ours) == order(theirs)


@pytest.mark.skipif(not SHARED.exists(), reason="the collected definitions are not here")
def test_every_action_of_the_collected_definitions_is_known():
    """But for AppSync's own GraphQL, which is no operation of the SDK's."""
    unknown, seen = set(), 0
    for path in (SHARED / "corpus" / "asl").rglob("*"):
        if path.suffix not in (".json", ".yaml", ".yml", ".asl"):
            continue
        for text in re.findall(r"arn:[\w-]+:states:::([\w:.-]+)", path.read_text("utf-8")):
            found = resource(f"arn:aws:states:::{text}")
            service, action = found.type.removeprefix("aws-sdk:"), found.action.partition(".")[0]
            seen += 1
            sdk = found.type.startswith("aws-sdk:")
            if not (shapes.operation(service, action) if sdk else action in OPTIMIZED.get(service, ())):
                unknown.add(text)
    assert seen > 900
    # Distributed Map's readers and writers are named like tasks
    assert unknown - {"s3:getObject", "s3:listObjectsV2", "s3:putObject"} <= {"aws-sdk:appsync:graphql"}


# ── parameters and results ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "text"), [("t", "t"), ({"a": "b"}, '{"a":"b"}'), (0, "0"), (False, "false"), ([1, "é"], '[1,"é"]')]
)  # fmt: skip
def test_what_a_service_takes_as_bytes_may_be_any_json(local, body, text):
    run(local, "aws-sdk:s3:putObject", {"Bucket": "bucket-name", "Key": "k", "Body": body}).result()
    assert run(local, "aws-sdk:s3:getObject", {"Bucket": "bucket-name", "Key": "k"}).output["Body"] == text


def test_a_null_is_not_sent(local):
    given = {"TableName": "orders", "Key": {"id": {"S": "x"}}, "ConsistentRead": None, "ProjectionExpression": None}
    assert run(local, "aws-sdk:dynamodb:getItem", given).output == {}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("aws-sdk:rds:describeDBInstances", {"DBInstanceIdentifier": "x"}, "write DbInstanceIdentifier]"),
        ("dynamodb:getItem", {"tableName": "orders"}, 'The field "tableName" is not supported'),
        ("aws-sdk:dynamodb:getItem", {"TableName": "orders", "Key": []}, "The value of the field 'Key' has an invalid"),
        ("aws-sdk:dynamodb:query", {"TableName": "orders", "Limit": "many"}, "The value of the field 'Limit' has"),
        ("aws-sdk:dynamodb:query", {"TableName": "orders", "ScanIndexForward": "perhaps"}, "'ScanIndexForward'"),
    ],
)
def test_parameters_no_request_can_be_made_of_end_the_execution(local, name, given, said):
    made = run(local, name, given, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Call"}])
    assert (made.status, made.error) == ("FAILED", "States.Runtime")
    assert said in made.cause
    assert "could not be used to start the Task" in made.cause


@pytest.mark.parametrize("given", [[1], "text", 7])
def test_parameters_are_an_object(given):
    with pytest.raises(StatesError, match="must be a JSON object"):
        shapes.request(given, shapes.operation("ssm", "getParameter").input_shape, shapes.java_member)


@pytest.mark.parametrize(
    ("name", "given", "error", "cause"),
    [
        ("aws-sdk:ssm:getParameter", {"Name": "none"}, "Ssm.ParameterNotFoundException", "(Service: Ssm, Status C"),
        ("aws-sdk:rds:describeDBInstances", {"DbInstanceIdentifier": "x"}, "Rds.DbInstanceNotFoundException", "Rds, S"),
        ("aws-sdk:s3:getObject", {"Bucket": "bucket-name", "Key": "none"}, "S3.NoSuchKeyException", "Extended Request"),
        ("aws-sdk:dynamodb:putItem", {"TableName": "orders", "Item": ITEM, "ConditionExpression":
         "attribute_exists(id)"}, "DynamoDb.ConditionalCheckFailedException", "The conditional request failed (Serv"),
        ("dynamodb:putItem", {"TableName": "orders", "Item": ITEM, "ConditionExpression": "attribute_exists(id)"},
         "DynamoDB.ConditionalCheckFailedException", "Service: AmazonDynamoDBv2; Status Code: 400; Error Code: Cond"),
        ("sqs:sendMessage", {"QueueUrl": "https://sqs.us-east-1.amazonaws.com/123456789012/no", "MessageBody": "x"},
         "SQS.QueueDoesNotExistException", "Error Code: AWS.SimpleQueueService.NonExistentQueue"),
        ("glue:startJobRun.sync", {"JobName": "none"}, "Glue.EntityNotFoundException", "Service: AWSGlue"),
        ("aws-sdk:translate:translateText", {}, "Translate.TranslateException", "3 validation errors detected: Value"),
    ],
)  # fmt: skip
def test_a_services_refusal_has_awss_name_and_words(local, name, given, error, cause):
    made = run(local, name, given)
    assert made.error == error
    assert cause in made.cause


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("aws-sdk:nosuch:getThing", {}, "boto3 knows no service 'nosuch'"),
        ("aws-sdk:s3:getThing", {}, "boto3 knows no action 'getThing' of 's3'"),
        ("aws-sdk:translate:listLanguages", {}, "nothing was sent"),
        ("bedrock:invokeModel", {"ModelId": "m", "Body": {}}, "has nothing to act on"),
        ("eks:call", {}, "eks:call cannot be run here"),
        ("mediaconvert:createJob.sync", {"Role": "r", "Settings": {}}, "nothing was sent"),
    ],
)
def test_what_the_sandbox_cannot_do_says_which_line_to_write(local, name, given, said):
    with pytest.raises(sf.TaskNotFoundError) as caught:
        run(local, name, given)
    assert said in str(caught.value)
    assert 'sf.Local(tasks={"Call": sf.mock({})})' in str(caught.value)


def test_eventbridge_keeps_what_is_well_formed(local):
    entries = [{"Detail": detail, "DetailType": "d", "Source": "s"} for detail in ({"a": 1}, "[1]", '{"b": 2}')]
    made = run(local, "events:putEvents", {"Entries": entries})
    said = json.loads(made.cause)
    assert made.error == "EventBridge.FailedEntry"
    assert [list(entry) for entry in said["Entries"]] == [["EventId"], ["ErrorCode", "ErrorMessage"], ["EventId"]]
    assert said["FailedEntryCount"] == 1


# ── time and chance ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_the_same_every_time():
    def history():
        local = sf.Local(seed=3)
        url = local.session.client("sqs").create_queue(QueueName="q")["QueueUrl"]
        local.session.client("s3").create_bucket(Bucket="bucket-name")
        first = run(local, "sqs:sendMessage", {"QueueUrl": url, "MessageBody": "x"})
        run(local, "aws-sdk:s3:putObject", {"Bucket": "bucket-name", "Key": "k", "Body": "x"})
        return [*first.history, *run(local, "aws-sdk:s3:listObjectsV2", {"Bucket": "bucket-name"}).history]

    assert history() == history()


def test_what_the_sandbox_dates_is_dated_with_the_executions_time(local):
    put = {"Bucket": "bucket-name", "Key": "k", "Body": "x"}
    run(local, "aws-sdk:s3:putObject", put)
    wait = {"Type": "Wait", "Seconds": 86_400, "Next": "Call"}
    call = machine("aws-sdk:s3:getObject", {"Bucket": "bucket-name", "Key": "k"}).definition.raw["States"]
    later = local.start_execution(sf.StateMachine.load({"StartAt": "Wait", "States": {"Wait": wait, **call}}))
    assert later.output["LastModified"] == "2030-01-02T00:00:00Z"


@pytest.mark.parametrize(("when", "text"), [(0.0, "1970-01-01T00:00:00Z"), (1.25, "1970-01-01T00:00:01.250Z")])
def test_times_are_written_as_java_writes_them(when, text):
    assert shapes.instant(datetime.fromtimestamp(when, UTC)) == text


# ── jobs and callbacks ───────────────────────────────────────────────────────────────────────────────────────────────


def kinds(made):
    return [event["type"] for event in made.history]


@pytest.fixture
def ecs(local):
    session = local.session
    ec2, client = session.client("ec2"), session.client("ecs")
    client.create_cluster(clusterName="c")
    container = {"name": "n", "image": "busybox", "cpu": 10, "memory": 10}
    client.register_task_definition(family="f", containerDefinitions=[container], networkMode="awsvpc")
    net = {
        "Subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "SecurityGroups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }
    return {"Cluster": "c", "TaskDefinition": "f", "LaunchType": "FARGATE",
            "NetworkConfiguration": {"AwsvpcConfiguration": net}}  # fmt: skip


def test_an_ecs_task_is_submitted_and_runs_to_its_end(local, ecs):
    made = run(local, "ecs:runTask.sync", ecs)
    assert kinds(made)[-5:-2] == ["TaskStarted", "TaskSubmitted", "TaskSucceeded"]
    submitted = json.loads(made.history[4]["taskSubmittedEventDetails"]["output"])
    assert list(submitted) == ["Failures", "SdkHttpMetadata", "SdkResponseMetadata", "Tasks"]
    assert submitted["Failures"] == []
    assert (made.output["LastStatus"], made.output["TaskArn"]) == ("STOPPED", submitted["Tasks"][0]["TaskArn"])
    assert made.output["Tags"] == []  # lists that are not there are empty, as recorded
    assert made.history[5]["timestamp"] > made.history[4]["timestamp"]  # it took time, of the execution's


def test_a_job_is_cut_off_by_the_states_own_timeout(local, ecs):
    made = run(local, "ecs:runTask.sync", ecs, TimeoutSeconds=1)
    assert made.error == "States.Timeout"


def role(local):
    return local.session.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]


def test_jobs_of_other_services_come_to_their_ends(local):
    arn, session = role(local), local.session
    session.client("glue").create_job(Name="j", Role=arn, Command={"Name": "glueetl"})
    assert run(local, "glue:startJobRun.sync", {"JobName": "j"}).output["JobRunState"] == "SUCCEEDED"
    query = {"QueryString": "select 1", "ResultConfiguration": {"OutputLocation": "s3://x/"}}
    assert run(local, "athena:startQueryExecution.sync", query).output["QueryExecution"]["Query"] == "select 1"
    cluster = {"Name": "k", "RoleArn": arn, "ResourcesVpcConfig": {"SubnetIds": ["subnet-1"]}}
    assert run(local, "eks:createCluster.sync", cluster).output["Cluster"]["Status"] == "ACTIVE"
    assert run(local, "eks:deleteCluster.sync", {"Name": "k"}).output["Cluster"]["Name"] == "k"
    emr = {"Name": "e", "ServiceRole": "r", "JobFlowRole": "r", "ReleaseLabel": "emr-6.0.0",
           "Instances": {"KeepJobFlowAliveWhenNoSteps": True, "InstanceCount": 1}}  # fmt: skip
    made = run(local, "elasticmapreduce:createCluster.sync", emr).output
    assert made["ClusterId"] == made["Cluster"]["Id"]
    ended = run(local, "elasticmapreduce:terminateCluster.sync", {"ClusterId": made["ClusterId"]})
    assert ended.output["Cluster"]["Status"]["State"] == "TERMINATED"


def test_a_batch_job_needs_no_docker(local):
    batch, arn = local.session.client("batch"), role(local)
    made = batch.create_compute_environment(
        computeEnvironmentName="environment", type="UNMANAGED", state="ENABLED", serviceRole=arn
    )
    order = [{"order": 1, "computeEnvironment": made["computeEnvironmentArn"]}]
    batch.create_job_queue(jobQueueName="queue", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    properties = {"image": "busybox", "vcpus": 1, "memory": 128}
    batch.register_job_definition(jobDefinitionName="definition", type="container", containerProperties=properties)
    given = {"JobName": "job", "JobQueue": "queue", "JobDefinition": "definition"}
    done = run(local, "batch:submitJob.sync", given)
    assert done.output["Status"] == "SUCCEEDED"
    assert done.output["StartedAt"] == 1_893_456_000_000  # a number of milliseconds is a time too


def test_a_job_that_does_not_end_is_told(local):
    given = {"Name": "e", "ServiceRole": "r", "JobFlowRole": "r", "ReleaseLabel": "emr-6.0.0",
             "Instances": {"KeepJobFlowAliveWhenNoSteps": True, "InstanceCount": 1}}  # fmt: skip
    cluster = run(local, "elasticmapreduce:createCluster", given).output["ClusterId"]
    step = {"ClusterId": cluster, "Step": {"Name": "s", "HadoopJarStep": {"Jar": "x.jar"}}}
    with pytest.raises(sf.TaskNotFoundError, match="stays 'RUNNING' and does not end"):
        run(local, "elasticmapreduce:addStep.sync", step)


def test_a_failed_container_fails_the_task():
    job = JOBS["ecs", "runTask"]
    assert job.broke({"containers": [{"exitCode": 0}, {"exitCode": 1}]})
    assert job.broke({"stopCode": "TaskFailedToStart", "containers": [{}]})
    assert not job.broke({"stopCode": "EssentialContainerExited", "containers": [{"exitCode": 0}, {}]})


def test_a_callbacks_message_is_sent_and_the_token_is_left_to_others(local):
    body = {"token.$": "$$.Task.Token"}
    given = {"QueueUrl": local.queue, "MessageBody": body}
    made = run(local, "sqs:sendMessage.waitForTaskToken", given, TimeoutSeconds=60)
    assert kinds(made)[-3:] == ["TaskSubmitted", "TaskTimedOut", "ExecutionFailed"]
    message = local.session.client("sqs").receive_message(QueueUrl=local.queue)["Messages"][0]
    assert len(json.loads(message["Body"])["token"]) > 32


# ── whose session it is ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_task_sends_the_token_of_another_execution():
    local = sf.Local()
    url = local.session.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    given = {"QueueUrl": url, "MessageBody": {"token.$": "$$.Task.Token"}}
    waits = run(local, "sqs:sendMessage.waitForTaskToken", given)
    message = local.session.client("sqs").receive_message(QueueUrl=url)["Messages"][0]
    token = json.loads(message["Body"])["token"]
    sent = run(local, "aws-sdk:sfn:sendTaskSuccess", {"TaskToken": token, "Output": {"ok": True}})
    assert (sent.status, sent.output, waits.output) == ("SUCCEEDED", {}, {"ok": True})
    again = run(local, "aws-sdk:sfn:sendTaskFailure", {"TaskToken": token})
    assert again.error == "Sfn.TaskTimedOutException"
    wrong = run(local, "aws-sdk:sfn:sendTaskHeartbeat", {"TaskToken": "made up"})
    assert wrong.error == "Sfn.InvalidTokenException"
    assert wrong.cause.startswith("Invalid Token: 'Invalid token' (Service: Sfn, Status Code: 400, Request ID: ")


def test_a_session_of_the_users_own_is_called():
    """Another sandbox's session stands in for AWS: what the workflow writes is there, and the ids are AWS's own."""
    aws = Sandbox().session
    ids = []
    aws.events.register("after-call.sqs.SendMessage", lambda parsed, **_: ids.append(parsed["ResponseMetadata"]))
    url = aws.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    local = sf.Local(session=aws)
    assert local.session is aws
    made = run(local, "sqs:sendMessage", {"QueueUrl": url, "MessageBody": "hello"})
    assert made.output["SdkResponseMetadata"]["RequestId"] == ids[0]["RequestId"]
    assert aws.client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "hello"


def test_the_example_of_the_readme_does_what_it_says():
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "local.session" in block]
    *doing, _, items, body = code.strip().splitlines()
    names = {}
    exec("\n".join(doing), names)
    assert names["run"].status == "SUCCEEDED"
    for line in (items, body):
        assert eval(line, names) == eval(line.partition("  # ")[2])


def test_what_is_bound_wins_over_the_services(local):
    local.tasks["dynamodb:putItem"] = "bound"
    assert run(local, "dynamodb:putItem", {}).output == "bound"


def test_a_distributed_map_reads_and_writes_the_sessions_bucket(local):
    s3 = local.session.client("s3")
    s3.put_object(Bucket="bucket-name", Key="in/items.json", Body=b"[1, 2, 3]")
    each = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "P",
            "States": {"P": {"Type": "Pass", "End": True}}}  # fmt: skip
    state = {
        "Type": "Map", "ItemProcessor": each, "End": True,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSON"},
                       "Parameters": {"Bucket": "bucket-name", "Key": "in/items.json"}},
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject",
                         "Parameters": {"Bucket": "bucket-name", "Prefix": "out"}},
    }  # fmt: skip
    made = local.start_execution(sf.StateMachine.load({"StartAt": "M", "States": {"M": state}}))
    assert made.status == "SUCCEEDED", made.cause
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="bucket-name", Prefix="out")["Contents"]]
    assert any(key.endswith("manifest.json") for key in keys)
    state["ItemReader"] = {"Resource": "arn:aws:states:::s3:listObjectsV2",
                           "Parameters": {"Bucket": "bucket-name", "Prefix": "in/"}}  # fmt: skip
    del state["ResultWriter"]
    (found,) = local.start_execution(sf.StateMachine.load({"StartAt": "M", "States": {"M": state}})).output
    assert list(found) == ["Etag", "Key", "LastModified", "Size", "StorageClass"]
    assert (found["Key"], found["Size"], found["LastModified"]) == ("in/items.json", 9, LAST_MODIFIED)


@pytest.mark.parametrize("action", ["createCluster", "addStep", "terminateCluster"])
def test_emrs_own_parameters_are_an_object_too(local, action):
    command = ScheduleTask(1, "S", "/", 1, "task", "", "elasticmapreduce", action, "", None)
    ((_, reply),) = local._services.answer(command, random.Random(0), at=0.0)
    assert reply.error == "States.Runtime"


def test_events_a_workflow_puts_name_the_workflow_among_their_resources():
    local = sf.Local()
    sqs, events = local.session.client("sqs"), local.session.client("events")
    queue = sqs.create_queue(QueueName="out")["QueueUrl"]
    events.put_rule(Name="all", EventPattern=json.dumps({"source": ["shop"]}))
    events.put_targets(Rule="all", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:out"}])
    entry = {"Detail": {"a": 1}, "DetailType": "d", "Source": "shop", "Resources": ["mine"]}
    for action, added in (("events:putEvents", 2), ("aws-sdk:eventbridge:putEvents", 0)):
        given = entry if added else {**entry, "Detail": '{"a": 1}'}
        done = run(local, action, {"Entries": [given]})
        (message,) = sqs.receive_message(QueueUrl=queue)["Messages"]
        assert json.loads(message["Body"])["resources"] == ["mine", done.machine_arn, done.arn][: 1 + added]
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])


@pytest.mark.xfail(
    strict=True,
    reason="AWS refuses a field that a request does not have before it schedules the task; here it is begun",
)
def test_a_request_with_a_field_there_is_not_is_refused_before_it_is_scheduled():
    done = run(sf.Local(), "dynamodb:putItem", {"TableName": "t", "Item": {}, "Nope": 1})
    assert done.error == "States.Runtime"
    assert "TaskScheduled" not in kinds(done)
