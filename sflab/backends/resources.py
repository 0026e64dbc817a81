"""The operations on state machines, versions, aliases, activities and tags.

Each is a function of (account, request) that returns the response; requests have been checked against the model
(`requests.check`). Texts and the order of versions (newest first), aliases (oldest first) and state machines (by name)
are as recorded (conformance groups api and express); what is not recorded follows the API reference and cites it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sflab.asl.variables import references
from sflab.backends.account import (
    NO_TRACES,
    Account,
    Activity,
    Alias,
    Machine,
    Revision,
    Version,
    encryption_of,
    logging_of,
    role_of,
    state_machine,
    tags_of,
)
from sflab.backends.requests import Arn, Request, arn, check_name, invalid, moment, page
from sflab.errors import ApiError

MAX_VERSIONS = 1_000  # published versions, and
MAX_ALIASES = 100  # aliases, of a state machine (quotas page)


def _version_description(request: Request) -> None:
    if request.get("versionDescription") and not request.get("publish"):
        raise invalid("Version description can only be set when publish is true")


def _unqualified(given: Arn) -> None:
    """Refuse the ARN of a version, an alias or a Distributed Map (API reference, DeleteStateMachine)."""
    if given.rest or given.label:
        raise invalid(f"State machine ARN must not be qualified: {given.text}")


# ── state machines ───────────────────────────────────────────────────────────────────────────────────────────────────


def create_state_machine(account: Account, request: Request) -> dict[str, Any]:
    """CreateStateMachine. Idempotent where all is the same, the definition as text (recorded).

    Role and tags may differ, they are ignored then (API reference).
    """
    check_name(name := request["name"])
    _version_description(request)
    type_ = request.get("type", "STANDARD")
    machine = state_machine(name, type_, request["definition"], role_of(request["roleArn"]))
    settings = _settings(request)
    tags = tags_of(request.get("tags", ()))
    same = {"definition": request["definition"], "type": type_, **settings}
    same |= {"publish": bool(request.get("publish")), "description": request.get("versionDescription")}
    account.adopt()
    if (known := account.machines.get(name)) is not None:
        if known.first != same:
            raise ApiError("StateMachineAlreadyExists", f"State Machine Already Exists: '{known.arn}'")
    else:
        now = account.now()
        revision = Revision(machine, request["definition"], request["roleArn"], **settings, id=None, updated=now)
        given = f"{account.here}:stateMachine:{name}"
        known = account.machines[name] = Machine(name, given, revision, now, tags, first=same)
        account.local.machines[name] = machine
    version = _published(account, known, request.get("versionDescription")) if request.get("publish") else None
    return {
        "stateMachineArn": known.arn,
        "creationDate": moment(known.created),
        "stateMachineVersionArn": version and f"{known.arn}:{version}",
    }


def _settings(request: Request) -> dict[str, Any]:
    return {
        "logging": logging_of(request.get("loggingConfiguration")),
        "tracing": {**NO_TRACES, **request.get("tracingConfiguration", {})},
        "encryption": encryption_of(request.get("encryptionConfiguration")),
    }


def update_state_machine(account: Account, request: Request) -> dict[str, Any]:
    """UpdateStateMachine. What changes nothing makes no revision."""
    given = arn(request["stateMachineArn"], "stateMachine")
    parts = ("definition", "roleArn", "loggingConfiguration", "tracingConfiguration", "encryptionConfiguration")
    if not any(part in request for part in parts):
        raise ApiError(
            "MissingRequiredParameter",
            "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be "
            "specified",
        )
    _version_description(request)
    if given.rest:
        raise ApiError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{given.text}'")
    found = account.machine(given)
    old = found.revision
    text, role = request.get("definition", old.text), role_of(request.get("roleArn", old.role_arn))
    changed = {name: value for name, value in _settings(request).items() if f"{name}Configuration" in request}
    if "definition" in request or role != old.role_arn:
        machine = state_machine(found.name, found.type, text, role)
        machine = old.machine if (text, role) == (old.text, old.role_arn) else machine
        changed |= {"machine": machine, "text": text, "role_arn": role}
    now = account.now()
    new = replace(old, **changed)
    if new != old:
        found.revisions += 1
        found.revision = replace(new, id=account.uuid("revision", found.name, found.revisions), updated=now)
        account.local.machines[found.name] = new.machine
    version = _published(account, found, request.get("versionDescription")) if request.get("publish") else None
    return {
        "updateDate": moment(now),
        "revisionId": found.revision.id,
        "stateMachineVersionArn": version and f"{found.arn}:{version}",
    }


def delete_state_machine(account: Account, request: Request) -> dict[str, Any]:
    """DeleteStateMachine, with its versions, aliases and tags; nothing happens where it is not there.

    AWS ends its running executions at their next transition; here they are aborted at once.
    """
    given = arn(request["stateMachineArn"], "stateMachine")
    _unqualified(given)
    with account.lock:
        account.adopt()
        found = account.machines.pop(given.name, None)
        account.local.machines.pop(given.name, None)
    for execution in list(account.local.executions) if found else ():
        if execution.machine_arn == given.text and execution.run.running:
            execution.drive.stop()  # what waits for it goes on, with code of the user: not under the lock
    return {}


def describe_state_machine(account: Account, request: Request) -> dict[str, Any]:
    """DescribeStateMachine, of a state machine, a version, or a Distributed Map's label."""
    given = arn(request["stateMachineArn"], "stateMachine")
    found = account.machine(given._replace(label=None))
    version = None if given.number is None else found.versions.get(given.number)
    labels = (place.state.get("Label") for place in found.revision.machine.definition.places())
    if (given.rest and version is None) or (given.label and given.label not in labels):
        raise ApiError("StateMachineDoesNotExist", f"State Machine Does Not Exist: '{given.text}'")
    revision = version.revision if version else found.revision
    return {
        "stateMachineArn": given.text,
        "name": found.name,
        "status": "ACTIVE",
        "type": found.type,
        "creationDate": moment(version.created if version else found.created),
        "description": version.description if version else None,
        "label": given.label,
        **described(revision, request),
    }


def described(revision: Revision, request: Request) -> dict[str, Any]:
    """Return what every description of a revision has."""
    data = request.get("includedData") != "METADATA_ONLY"  # without data "the returned definition will be {}"
    return {
        "definition": revision.text if data else "{}",
        "roleArn": revision.role_arn,
        "loggingConfiguration": revision.logging,
        "tracingConfiguration": revision.tracing,
        "encryptionConfiguration": revision.encryption,
        "revisionId": revision.id,
        "variableReferences": (references(revision.machine.definition.raw) or None) if data else None,
    }


def list_state_machines(account: Account, request: Request) -> dict[str, Any]:
    """ListStateMachines, by name."""
    account.adopt()
    found = sorted(account.machines.values(), key=lambda machine: machine.name)
    items, token = page("ListStateMachines", request, found, lambda machine: machine.name)
    listed = [
        {"stateMachineArn": m.arn, "name": m.name, "type": m.type, "creationDate": moment(m.created)} for m in items
    ]
    return {"stateMachines": listed, "nextToken": token}


# ── versions and aliases ─────────────────────────────────────────────────────────────────────────────────────────────


def _published(account: Account, found: Machine, description: str | None) -> int:
    """Return the number of the current revision's version; it is published once."""
    newest = found.versions.get(found.last)
    if newest is not None and newest.revision is found.revision:
        return found.last
    if len(found.versions) >= MAX_VERSIONS:
        raise ApiError("ServiceQuotaExceededException", f"A state machine can have at most {MAX_VERSIONS} versions")
    found.last += 1
    found.versions[found.last] = Version(found.revision, description, account.now())
    return found.last


def publish_state_machine_version(account: Account, request: Request) -> dict[str, Any]:
    """PublishStateMachineVersion."""
    given = arn(request["stateMachineArn"], "stateMachine")
    found = account.machine(given)
    _unqualified(given)
    wanted, current = request.get("revisionId"), found.revision.id or "INITIAL"
    if wanted is not None and wanted != current:
        raise ApiError(
            "ConflictException",
            f"Failed to publish the State Machine version for revision {wanted}. "
            f"The current State Machine revision is {current}.",
        )
    number = _published(account, found, request.get("description"))
    created = moment(found.versions[number].created)
    return {"creationDate": created, "stateMachineVersionArn": f"{found.arn}:{number}"}


def list_state_machine_versions(account: Account, request: Request) -> dict[str, Any]:
    """ListStateMachineVersions, newest first; none where there is no such state machine."""
    given = arn(request["stateMachineArn"], "stateMachine")
    _unqualified(given)
    account.adopt()
    found = account.machines.get(given.name)
    numbers = sorted(found.versions, reverse=True) if found else []
    items, token = page("ListStateMachineVersions", request, numbers, lambda number: number)
    versions = [
        {"stateMachineVersionArn": f"{given.text}:{n}", "creationDate": moment(found.versions[n].created)}
        for n in items
        if found
    ]
    return {"stateMachineVersions": versions, "nextToken": token}


def delete_state_machine_version(account: Account, request: Request) -> dict[str, Any]:
    """DeleteStateMachineVersion; nothing happens where it is not there."""
    given = arn(request["stateMachineVersionArn"], "stateMachine")
    if given.number is None:
        raise invalid(f"State machine version ARN must end with a version number: {given.text}")
    account.adopt()
    found = account.machines.get(given.name)
    if found is None:
        return {}
    uses = [
        alias.name
        for alias in found.aliases.values()
        if any(route["stateMachineVersionArn"] == given.text for route in alias.routing)
    ]
    if uses:
        raise ApiError(
            "ConflictException",
            "Version to be deleted must not be referenced by an alias. Current list of aliases referencing this "
            f"version: [{', '.join(uses)}]",
        )
    found.versions.pop(given.number, None)
    return {}


def _routing(account: Account, routing: list[dict[str, Any]]) -> Machine:
    """Check a routing configuration; return the state machine its versions are of."""
    versions = [route["stateMachineVersionArn"] for route in routing]
    weights = [route["weight"] for route in routing]
    arns = [arn(text, "stateMachine") for text in versions]
    received = f"Received: [{', '.join(versions)}]"
    if any(each.number is None for each in arns):
        raise invalid(f"Routing configuration must contain state machine version ARNs. {received}")
    if len(set(versions)) < len(versions):
        raise invalid(f"Routing configuration must contain distinct state machine version ARNs. {received}")
    if len({each.machine for each in arns}) > 1:
        raise invalid(f"Routing configuration must contain versions of one state machine. {received}")
    if sum(weights) != 100:
        raise invalid(f"Sum of routing configuration weights must equal 100. Received: {weights}")
    account.adopt()
    found = account.machines.get(arns[0].name)
    if found is None or any(each.number not in found.versions for each in arns):
        raise ApiError("ResourceNotFound", "Request references a resource that does not exist.")
    return found


def create_state_machine_alias(account: Account, request: Request) -> dict[str, Any]:
    """CreateStateMachineAlias; idempotent where all of it is the same."""
    found = _routing(account, routing := request["routingConfiguration"])
    name, description = request["name"], request.get("description")
    if (known := found.aliases.get(name)) is None:
        if len(found.aliases) >= MAX_ALIASES:
            raise ApiError("ServiceQuotaExceededException", f"A state machine can have at most {MAX_ALIASES} aliases")
        now = account.now()
        known = found.aliases[name] = Alias(name, description, routing, now, now)
    elif (known.routing, known.description) != (routing, description):
        raise ApiError(
            "ConflictException",
            "Failed to create alias because an alias with the same name and a different routing configuration already "
            "exists.",
        )
    return {"stateMachineAliasArn": f"{found.arn}:{name}", "creationDate": moment(known.created)}


def _alias(account: Account, text: str) -> tuple[Machine, Alias]:
    given = arn(text, "stateMachine")
    account.adopt()
    found = account.machines.get(given.name)
    alias = found.aliases.get(given.rest or "") if found else None
    if found is None or alias is None:
        raise ApiError("ResourceNotFound", "Request references a resource that does not exist.")
    return found, alias


def describe_state_machine_alias(account: Account, request: Request) -> dict[str, Any]:
    """DescribeStateMachineAlias."""
    found, alias = _alias(account, request["stateMachineAliasArn"])
    return {
        "stateMachineAliasArn": f"{found.arn}:{alias.name}",
        "name": alias.name,
        "description": alias.description,
        "routingConfiguration": alias.routing,
        "creationDate": moment(alias.created),
        "updateDate": moment(alias.updated),
    }


def update_state_machine_alias(account: Account, request: Request) -> dict[str, Any]:
    """UpdateStateMachineAlias."""
    if not {"description", "routingConfiguration"} & set(request):
        raise invalid("Either the description or the routing configuration must be specified")
    found, alias = _alias(account, request["stateMachineAliasArn"])
    if routing := request.get("routingConfiguration"):
        if _routing(account, routing) is not found:
            raise invalid("Routing configuration must contain versions of the alias's own state machine")
        alias.routing = routing
    alias.description = request.get("description", alias.description)
    alias.updated = account.now()
    return {"updateDate": moment(alias.updated)}


def delete_state_machine_alias(account: Account, request: Request) -> dict[str, Any]:
    """DeleteStateMachineAlias."""
    found, alias = _alias(account, request["stateMachineAliasArn"])
    del found.aliases[alias.name]
    return {}


def list_state_machine_aliases(account: Account, request: Request) -> dict[str, Any]:
    """ListStateMachineAliases, oldest first; of a version's ARN those that use it."""
    given = arn(request["stateMachineArn"], "stateMachine")
    found = account.machine(given)
    aliases = [
        alias
        for alias in found.aliases.values()
        if not given.rest or any(route["stateMachineVersionArn"] == given.text for route in alias.routing)
    ]
    items, token = page("ListStateMachineAliases", request, aliases, lambda alias: alias.name)
    listed = [
        {"stateMachineAliasArn": f"{found.arn}:{alias.name}", "creationDate": moment(alias.created)} for alias in items
    ]
    return {"stateMachineAliases": listed, "nextToken": token}


# ── activities and tags ──────────────────────────────────────────────────────────────────────────────────────────────


def create_activity(account: Account, request: Request) -> dict[str, Any]:
    """CreateActivity; idempotent by the name, but the encryption must be the same (API reference)."""
    check_name(name := request["name"])
    encryption, tags = encryption_of(request.get("encryptionConfiguration")), tags_of(request.get("tags", ()))
    account.adopt()
    known = account.activities.get(name)
    if known is None:
        given = account.local.create_activity(name)
        known = account.activities[name] = Activity(name, given, account.now(), encryption, tags)
    elif known.encryption != encryption:
        message = f"Activity Already Exists: '{known.arn}'. EncryptionConfiguration may not be updated."
        raise ApiError("ActivityAlreadyExists", message)
    return {"activityArn": known.arn, "creationDate": moment(known.created)}


def activity(account: Account, text: str) -> Activity:
    """Return the activity of an ARN. Raises ApiError ``ActivityDoesNotExist``."""
    given = arn(text, "activity")
    account.adopt()
    found = account.activities.get(given.name)
    if found is None or found.arn != text:
        raise ApiError("ActivityDoesNotExist", f"Activity Does Not Exist: '{text}'")
    return found


def describe_activity(account: Account, request: Request) -> dict[str, Any]:
    """DescribeActivity."""
    found = activity(account, request["activityArn"])
    return {
        "activityArn": found.arn,
        "name": found.name,
        "creationDate": moment(found.created),
        "encryptionConfiguration": found.encryption,
    }


def delete_activity(account: Account, request: Request) -> dict[str, Any]:
    """DeleteActivity; nothing happens where it is not there. Tasks that wait for a worker go on waiting."""
    given = arn(request["activityArn"], "activity")
    account.adopt()
    if account.activities.pop(given.name, None):
        account.local.delete_activity(given.text)
    return {}


def list_activities(account: Account, request: Request) -> dict[str, Any]:
    """ListActivities, by name."""
    account.adopt()
    found = sorted(account.activities.values(), key=lambda each: each.name)
    items, token = page("ListActivities", request, found, lambda each: each.name)
    listed = [{"activityArn": a.arn, "name": a.name, "creationDate": moment(a.created)} for a in items]
    return {"activities": listed, "nextToken": token}


def _tagged(account: Account, text: str) -> Machine | Activity:
    """Return what has tags: a state machine (no version, no alias) or an activity."""
    given = arn(text, "stateMachine", "activity")
    account.adopt()
    kept: dict[str, Any] = account.machines if given.kind == "stateMachine" else account.activities
    found: Machine | Activity | None = kept.get(given.name)
    if found is None or found.arn != text:
        raise ApiError("ResourceNotFound", f"Resource not found: '{text}'")
    return found


def tag_resource(account: Account, request: Request) -> dict[str, Any]:
    """TagResource."""
    found = _tagged(account, request["resourceArn"])
    found.tags = tags_of(request["tags"], found.tags)
    return {}


def untag_resource(account: Account, request: Request) -> dict[str, Any]:
    """UntagResource."""
    found = _tagged(account, request["resourceArn"])
    for key in request["tagKeys"]:
        found.tags.pop(key, None)
    return {}


def list_tags_for_resource(account: Account, request: Request) -> dict[str, Any]:
    """ListTagsForResource."""
    found = _tagged(account, request["resourceArn"])
    return {"tags": [{"key": key, "value": value} for key, value in found.tags.items()]}


OPERATIONS = {
    "CreateActivity": create_activity,
    "CreateStateMachine": create_state_machine,
    "CreateStateMachineAlias": create_state_machine_alias,
    "DeleteActivity": delete_activity,
    "DeleteStateMachine": delete_state_machine,
    "DeleteStateMachineAlias": delete_state_machine_alias,
    "DeleteStateMachineVersion": delete_state_machine_version,
    "DescribeActivity": describe_activity,
    "DescribeStateMachine": describe_state_machine,
    "DescribeStateMachineAlias": describe_state_machine_alias,
    "ListActivities": list_activities,
    "ListStateMachineAliases": list_state_machine_aliases,
    "ListStateMachineVersions": list_state_machine_versions,
    "ListStateMachines": list_state_machines,
    "ListTagsForResource": list_tags_for_resource,
    "PublishStateMachineVersion": publish_state_machine_version,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdateStateMachine": update_state_machine,
    "UpdateStateMachineAlias": update_state_machine_alias,
}
#: Those that are done under the account's lock from beginning to end.
LOCKED = frozenset(OPERATIONS) - {"DeleteStateMachine"}
