"""What AWS and boto3 refuse, told so that it helps: what was said, and the one thing to do about it.

boto3's own error stays the cause of ours. Neither shows credentials: what AWS repeats of a request that was signed
wrongly is taken out of both.
"""

from __future__ import annotations

from collections.abc import Mapping

from sflab.errors import BackendError

_KEYS = "Check the keys of {profile} (`aws configure list`), and that this computer's clock is right."
_SIGN_IN = "Sign in again (`aws sso login`, `aws login`, or fetch new keys) and make a new sf.AWS()."
_AWAY = "Check the network, the region ({region}) and endpoint_url; {endpoint} is where it was looked for."
_CHECK_ARN = "Check the ARN: this client looks in {region} with {profile}."

#: What to do, by AWS's error code or by the class of botocore's exception.
ADVICE = {
    "NoCredentialsError": "Give sf.AWS(profile=…), set AWS_PROFILE, or run `aws configure`.",
    "PartialCredentialsError": "The access key or the secret is missing: run `aws configure`.",
    "CredentialRetrievalError": _SIGN_IN,
    "ProfileNotFound": "`aws configure list-profiles` lists the profiles there are.",
    "NoRegionError": "Give sf.AWS(region=…), or set AWS_DEFAULT_REGION.",
    "InvalidRegionError": "A region is named like us-east-1.",
    "ValueError": "endpoint_url is like http://localhost:4566.",
    "EndpointConnectionError": _AWAY,
    "ConnectTimeoutError": _AWAY,
    "ProxyConnectionError": "Check the proxy that HTTPS_PROXY names.",
    "SSLError": "Check the certificates this computer trusts (AWS_CA_BUNDLE), and http:// or https:// in endpoint_url.",
    "ResponseParserError": "Check endpoint_url: this is not how Step Functions answers.",
    "HTTPClientError": "The connection broke; nothing that was read is lost. Try again.",
    "SSOError": _SIGN_IN,
    "TokenRetrievalError": _SIGN_IN,
    "LoginError": _SIGN_IN,
    "ExpiredToken": _SIGN_IN,
    "ExpiredTokenException": _SIGN_IN,
    "RequestExpired": _SIGN_IN,
    "UnrecognizedClientException": _KEYS,
    "InvalidClientTokenId": _KEYS,
    "InvalidSignatureException": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "IncompleteSignature": _KEYS,
    "MissingAuthenticationToken": _KEYS,
    "PassRole": "Allow iam:PassRole on {role} to the identity of {profile}, or give a role_arn it may pass.",
    "AssumeRole": "The role {role} must exist and trust states.amazonaws.com: look at its trust policy.",
    "AccessDenied": "Allow {service}:{action} to the identity of {profile}.",
    "KmsAccessDeniedException": "The machine is encrypted: allow kms:Decrypt on its key to the identity of {profile}.",
    "StateMachineDoesNotExist": _CHECK_ARN,
    "ExecutionDoesNotExist": _CHECK_ARN + " AWS forgets an execution 90 days after its end.",
    "InvalidArn": _CHECK_ARN,
    "InvalidDefinition": "machine.validate() lists what is wrong with it, and where.",
    "InvalidName": "1 to 80 letters, digits, - and _: give it another name.",
    "ExecutionAlreadyExists": "A name can be used once in 90 days: give another, or none.",
    "ExecutionLimitExceeded": "Too many executions are running: wait for some to end, or stop some.",
    "StateMachineDeleting": "It is being deleted: wait a minute, or give the machine another name.",
    "StateMachineTypeNotSupported": "This is for the other type of machine (Standard or Express).",
    "ConflictException": "Somebody else is changing the machine: try again.",
    "Throttled": "AWS kept on refusing for a minute: wait, or ask for a higher quota.",
    "Server": "The server is in trouble: try again later.",
}


def code(e: BaseException | None) -> str:
    """AWS's error code, or the name of botocore's class."""
    response = getattr(e, "response", None)
    return str(response["Error"].get("Code", "")) if isinstance(response, dict) else type(e).__name__


def passing(e: Exception) -> str | None:
    """Whether it may be different in a moment.

    ``busy``: refused, nothing was done; ``away``: nobody was reached; ``lost``: perhaps done, the answer was lost.
    """
    response = getattr(e, "response", None)
    if isinstance(response, dict):
        status, named = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), code(e)
        if status == 429 or "Throttl" in named or named in ("TooManyRequestsException", "RequestLimitExceeded"):
            return "busy"
        return "lost" if status >= 500 else None
    names = {c.__name__ for c in type(e).__mro__}
    if names & {"EndpointConnectionError", "ConnectTimeoutError"}:
        return "away"
    return "lost" if "HTTPClientError" in names else None


def _kind(e: Exception, said: str) -> str:
    """Return the key of `ADVICE` for an error."""
    named = code(e)
    if "AccessDenied" in named and not named.startswith("Kms"):
        if "iam:PassRole" in said:
            return "PassRole"
        return "AssumeRole" if "assume the provided role" in said else "AccessDenied"
    if (again := passing(e)) and hasattr(e, "response"):
        return "Throttled" if again == "busy" else "Server"
    known = [named, *(c.__name__ for c in type(e).__mro__)]
    return next((name for name in known if name in ADVICE), "")


def _reason(e: Exception) -> str:
    """What AWS or botocore says, in one line, without credentials.

    A refused signature is answered with the request as AWS saw it, session token included: that is taken out of the
    original too, because a notebook shows causes.
    """
    response = getattr(e, "response", None)
    if not isinstance(response, dict):
        return " ".join(str(e).split())
    told = response.setdefault("Error", {})
    whole = str(told.get("Message", ""))
    first = whole.strip().split("\n")[0]
    if "Signature" in str(told.get("Code", "")) and first != whole:
        e.args = tuple(str(arg).replace(whole, first) for arg in e.args)
        told["Message"] = first
    return f"{first} ({told.get('Code') or response.get('ResponseMetadata', {}).get('HTTPStatusCode')})".strip()


def explained(e: Exception, facts: Mapping[str, str]) -> BackendError:
    """Return the error as ours, with its reason and what to do.

    *facts* are what `ADVICE` speaks of: service and action (may be empty), profile, region, endpoint, role.
    """
    said = _reason(e)
    told = f"{facts['action']}: {said}" if facts["action"] else said
    return BackendError(f"{told.rstrip('.')}. {ADVICE.get(_kind(e, said), '').format(**facts)}".strip())
