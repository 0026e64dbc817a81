"""What ``.sync`` waits for: which operation tells how a job stands, and what its end looks like.

Each row of `JOBS` is one optimized integration that runs a job: the operation to look with, its parameters out of the
request and its answer, where the job and its state stand in what it says, which states end it, and what the task's
result is: the job alone (Batch, ECS, Glue) or wrapped as the service wraps it (``$.Build``, ``$.QueryExecution``).
Sources: the integrations' pages under https://docs.aws.amazon.com/step-functions/latest/dg/integrate-optimized.html,
and conformance, group services, for ECS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sflab.asl.model import JSON

Key = Callable[[Any, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Job:
    """A job that ``.sync`` waits for.

    ``describe`` is the operation; ``key(parameters, answer)`` makes its parameters of the task's and of what the
    service said to the request; ``inside`` leads to the job in what it says, ``status`` from there to its state.
    ``wrapped`` is the name the job has in the result. ``broke`` tells a job that has ended badly by more than its
    state; ``until_gone``: it is over when the service does not know it any more.
    """

    describe: str
    key: Key
    status: tuple[str, ...]
    done: frozenset[str]
    failed: frozenset[str]
    inside: tuple[str | int, ...] = ()
    wrapped: str | None = None
    broke: Callable[[Any], bool] | None = None
    until_gone: bool = False

    def state(self, described: Any) -> tuple[str, Any]:
        """Return the job's state and the job itself; ("", {}) where the answer does not hold it."""
        found = _at(described, self.inside) or {}
        return str(_at(found, self.status) or ""), found

    def shape(self, output: Any) -> Any:
        """Return botocore's shape of the job in the operation's *output*."""
        for step in self.inside:
            output = output.member if isinstance(step, int) else output.members[step]
        return output

    def wrap(self, result: JSON) -> JSON:
        """Return the task's result; a cluster's also has its id outside, which ``$.ClusterId`` is read by."""
        if self.wrapped == "Cluster" and isinstance(result, dict) and "Id" in result:
            return {"Cluster": result, "ClusterId": result["Id"]}
        return {self.wrapped: result} if self.wrapped else result


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _stopped_badly(task: Any) -> bool:
    """Whether an ECS task failed: it did not start, or an essential container said so (any other exit code than 0)."""
    codes = [each.get("exitCode") for each in task.get("containers", ())]
    return task.get("stopCode") == "TaskFailedToStart" or any(code not in (0, None) for code in codes)


def _given(*names: str, **others: str) -> Key:
    """Parameters of the same name in the request; *others* name theirs."""
    wanted = {name: name[:1].upper() + name[1:] for name in names} | others
    return lambda parameters, _answer: {to: parameters[of] for to, of in wanted.items() if of in parameters}


def _answered(**names: str) -> Key:
    """Parameters that stand in the answer."""
    return lambda _parameters, answer: {to: answer[of] for to, of in names.items() if of in answer}


def _both(*keys: Key) -> Key:
    def made(parameters: Any, answer: Any) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in keys:
            found |= key(parameters, answer)
        return found

    return made


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _ecs(parameters: Any, answer: Any) -> dict[str, Any]:
    given = {"tasks": [answer["tasks"][0]["taskArn"]] if answer.get("tasks") else []}
    return {**given, "cluster": parameters["Cluster"]} if "Cluster" in parameters else given


def _sagemaker(kind: str) -> Job:
    name, status = f"{kind}JobName", f"{kind}JobStatus"
    return Job(f"describe{kind}Job", _given(**{name: name}), (status,), _words("Completed"), _words("Failed Stopped"))


def _eks(what: str, key: Key, *, deleted: bool = False) -> Job:
    member = what[:1].lower() + what[1:]
    failed = _words("CREATE_FAILED DELETE_FAILED FAILED")
    done = frozenset() if deleted else _words("ACTIVE")
    return Job(f"describe{what}", key, ("status",), done, failed, (member,), what, until_gone=deleted)


def _application(done: str) -> Job:
    return Job(
        "getApplication",
        _both(_given(applicationId="ApplicationId"), _answered(applicationId="applicationId")),
        ("state",),
        _words(done),
        _words("TERMINATED"),
        ("application",),
        "Application",
    )


_CLUSTER_KEY = _both(_given(ClusterId="ClusterId"), _answered(ClusterId="JobFlowId"))
_NODES = _given(clusterName="ClusterName", nodegroupName="NodegroupName")
_PROFILE = _given(clusterName="ClusterName", fargateProfileName="FargateProfileName")

JOBS: dict[tuple[str, str], Job] = {
    ("athena", "startQueryExecution"): Job(
        "getQueryExecution", _answered(QueryExecutionId="QueryExecutionId"), ("Status", "State"),
        _words("SUCCEEDED"), _words("FAILED CANCELLED"), ("QueryExecution",), "QueryExecution",
    ),
    ("batch", "submitJob"): Job(
        "describeJobs", lambda _, answer: {"jobs": [answer["jobId"]]}, ("status",),
        _words("SUCCEEDED"), _words("FAILED"), ("jobs", 0),
    ),
    ("bedrock", "createModelCustomizationJob"): Job(
        "getModelCustomizationJob", _given(jobIdentifier="JobName"), ("status",),
        _words("Completed"), _words("Failed Stopped"),
    ),
    ("codebuild", "startBuild"): Job(
        "batchGetBuilds", lambda _, answer: {"ids": [answer["build"]["id"]]}, ("buildStatus",),
        _words("SUCCEEDED"), _words("FAILED FAULT TIMED_OUT STOPPED"), ("builds", 0), "Build",
    ),
    ("codebuild", "startBuildBatch"): Job(
        "batchGetBuildBatches", lambda _, answer: {"ids": [answer["buildBatch"]["id"]]}, ("buildBatchStatus",),
        _words("SUCCEEDED"), _words("FAILED FAULT TIMED_OUT STOPPED"), ("buildBatches", 0), "BuildBatch",
    ),
    ("databrew", "startJobRun"): Job(
        "describeJobRun", _both(_given(Name="Name"), _answered(RunId="RunId")), ("State",),
        _words("SUCCEEDED"), _words("FAILED STOPPED TIMEOUT"),
    ),
    ("ecs", "runTask"): Job(
        "describeTasks", _ecs, ("lastStatus",), _words("STOPPED"), frozenset(), ("tasks", 0), broke=_stopped_badly,
    ),
    ("eks", "createCluster"): _eks("Cluster", _given(name="Name")),
    ("eks", "createFargateProfile"): _eks("FargateProfile", _PROFILE),
    ("eks", "createNodegroup"): _eks("Nodegroup", _NODES),
    ("eks", "deleteCluster"): _eks("Cluster", _given(name="Name"), deleted=True),
    ("eks", "deleteFargateProfile"): _eks("FargateProfile", _PROFILE, deleted=True),
    ("eks", "deleteNodegroup"): _eks("Nodegroup", _NODES, deleted=True),
    ("elasticmapreduce", "addStep"): Job(
        "describeStep", lambda given, answer: {"ClusterId": given["ClusterId"], "StepId": answer["StepIds"][0]},
        ("Status", "State"), _words("COMPLETED"), _words("FAILED CANCELLED INTERRUPTED"), ("Step",), "Step",
    ),
    ("elasticmapreduce", "createCluster"): Job(
        "describeCluster", _CLUSTER_KEY, ("Status", "State"), _words("RUNNING WAITING"),
        _words("TERMINATED TERMINATED_WITH_ERRORS"), ("Cluster",), "Cluster",
    ),
    ("elasticmapreduce", "terminateCluster"): Job(
        "describeCluster", _CLUSTER_KEY, ("Status", "State"), _words("TERMINATED"),
        _words("TERMINATED_WITH_ERRORS"), ("Cluster",), "Cluster",
    ),
    ("emr-containers", "deleteVirtualCluster"): Job(
        "describeVirtualCluster", _given(id="Id"), ("state",), _words("TERMINATED"), frozenset(),
        ("virtualCluster",), "VirtualCluster", until_gone=True,
    ),
    ("emr-containers", "startJobRun"): Job(
        "describeJobRun", _both(_given(virtualClusterId="VirtualClusterId"), _answered(id="id")), ("state",),
        _words("COMPLETED"), _words("FAILED CANCELLED"), ("jobRun",), "JobRun",
    ),
    ("emr-serverless", "createApplication"): _application("CREATED STARTED"),
    ("emr-serverless", "deleteApplication"): Job(
        "getApplication", _given(applicationId="ApplicationId"), ("state",), _words("TERMINATED"), frozenset(),
        ("application",), "Application", until_gone=True,
    ),
    ("emr-serverless", "startApplication"): _application("STARTED"),
    ("emr-serverless", "startJobRun"): Job(
        "getJobRun", _both(_given(applicationId="ApplicationId"), _answered(jobRunId="jobRunId")), ("state",),
        _words("SUCCESS"), _words("FAILED CANCELLED"), ("jobRun",), "JobRun",
    ),
    ("emr-serverless", "stopApplication"): _application("STOPPED"),
    ("glue", "startJobRun"): Job(
        "getJobRun", _both(_given(JobName="JobName"), _answered(RunId="JobRunId")), ("JobRunState",),
        _words("SUCCEEDED"), _words("FAILED STOPPED TIMEOUT ERROR EXPIRED"), ("JobRun",),
    ),
    ("mediaconvert", "createJob"): Job(
        "getJob", lambda _, answer: {"Id": answer["Job"]["Id"]}, ("Status",),
        _words("COMPLETE"), _words("ERROR CANCELED"), ("Job",), "Job",
    ),
    ("sagemaker", "createHyperParameterTuningJob"): _sagemaker("HyperParameterTuning"),
    ("sagemaker", "createLabelingJob"): Job(
        "describeLabelingJob", _given(LabelingJobName="LabelingJobName"), ("LabelingJobStatus",),
        _words("Completed"), _words("Failed Stopped"),
    ),
    ("sagemaker", "createProcessingJob"): _sagemaker("Processing"),
    ("sagemaker", "createTrainingJob"): _sagemaker("Training"),
    ("sagemaker", "createTransformJob"): _sagemaker("Transform"),
}  # fmt: skip


def _step(given: Any) -> JSON:
    return {"JobFlowId": given.get("ClusterId"), "Steps": [given.get("Step")]} | (
        {"ExecutionRoleArn": given["ExecutionRoleArn"]} if "ExecutionRoleArn" in given else {}
    )


def _named(**names: str) -> Callable[[Any], JSON]:
    return lambda given: {names.get(key, key): value for key, value in given.items()}


#: EMR's integrations have names and parameters of their own (https://docs.aws.amazon.com/step-functions/latest/dg/connect-emr.html).
RENAMED: dict[tuple[str, str], tuple[str, Callable[[Any], JSON]]] = {
    ("elasticmapreduce", "addStep"): ("addJobFlowSteps", _step),
    ("elasticmapreduce", "cancelStep"): (
        "cancelSteps", lambda given: {"ClusterId": given.get("ClusterId"), "StepIds": [given.get("StepId")]},
    ),
    ("elasticmapreduce", "createCluster"): ("runJobFlow", _named()),
    ("elasticmapreduce", "setClusterTerminationProtection"): (
        "setTerminationProtection",
        lambda given: {
            "JobFlowIds": [given.get("ClusterId")],
            "TerminationProtected": given.get("TerminationProtected"),
        },
    ),
    ("elasticmapreduce", "terminateCluster"): (
        "terminateJobFlows", lambda given: {"JobFlowIds": [given.get("ClusterId")]},
    ),
}  # fmt: skip
