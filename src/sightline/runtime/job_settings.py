"""Settings of a job in a container: from options, the environment, mounted files, and AWS.

A setting called ``ledger`` is looked for in this order: an option of the command line, the
environment variable ``SIGHTLINE_LEDGER``, the file that ``SIGHTLINE_LEDGER_FILE`` names, and the
file ``ledger`` in the folder ``SIGHTLINE_SECRETS_DIR`` (where Docker and Kubernetes mount secrets).
A value ``aws-sm://NAME#KEY`` is fetched from AWS Secrets Manager (KEY: of a JSON secret), and
``aws-ssm://NAME`` from the Parameter Store. All that is missing is said at once, when it starts.

What a setting declared as ``SecretStr`` holds is in no ``repr``, message or record: an error names
the setting and where it was looked for, never a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pydantic
from pydantic import BaseModel, ConfigDict

from sightline.errors import SightlineError, SinkError, UsageError
from sightline.limits import DEFAULT_LIMITS, Limits

PREFIX = "SIGHTLINE_"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
"""Environment variable: folder with a file for each setting."""
_SECRETS_MANAGER, _PARAMETERS = "aws-sm://", "aws-ssm://"
Fetch = Callable[[str], str]


class JobSettings(BaseModel):
    """What a job can be told; extend it with fields, each with a sentence under it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    def as_recorded(self) -> dict[str, Any]:
        """The settings as they may be stored: secrets as stars, addresses without credentials."""
        plain = self.model_dump(mode="json")  # pydantic writes stars for a secret that is set
        return {name: _bare(one) if isinstance(one, str) else one for name, one in plain.items()}


AnySettings = TypeVar("AnySettings", bound=JobSettings)


def load_settings(
    kind: type[AnySettings],
    *,
    given: Mapping[str, object],
    environment: Mapping[str, str],
    fetch: Fetch | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> AnySettings:
    """The settings of a job, or one error with everything that is missing or wrong.

    Args:
        kind: which settings there are.
        given: those of the command line; None counts as not given.
        environment: variables.
        fetch: gets an ``aws-…://`` value; None: from AWS.
        limits: ``max_secret_bytes`` bounds a mounted file.

    Raises:
        UsageError: with the list.
        SinkError: AWS does not answer or refuses.

    >>> class Greeting(JobSettings):
    ...     who: str
    >>> load_settings(Greeting, given={}, environment={"SIGHTLINE_WHO": "you"}).who
    'you'
    """
    found: dict[str, object] = {}
    faults: list[str] = []
    for name in kind.model_fields:
        try:
            value = _found(name, given.get(name), environment, fetch or from_aws, limits)
        except UsageError as error:
            faults.append(f"{name} ({error.got})")
            continue
        if value is not None:
            found[name] = value
    try:
        settings = kind.model_validate(found)
    except pydantic.ValidationError as error:
        named = {fault.split(" ", maxsplit=1)[0] for fault in faults}
        for one in error.errors(include_input=False, include_context=False):
            name = ".".join(map(str, one["loc"]))
            if name in named:
                continue
            is_missing = one["type"] == "missing"
            faults.append(f"{name} (missing)" if is_missing else f"{name} ({one['msg']})")
        raise _not_usable(faults) from None  # the cause would hold the values
    if faults:
        raise _not_usable(faults)
    return settings


def _not_usable(faults: list[str]) -> UsageError:
    names = ", ".join(f"{PREFIX}{fault.split(' ', maxsplit=1)[0].upper()}" for fault in faults)
    return UsageError(
        expected="every setting that the job needs",
        got="; ".join(faults),
        where="settings",
        action=f"set {names}, each also as …_FILE, in {SECRETS_DIR}, or as an option",
    )


def _found(
    name: str, given: object, environment: Mapping[str, str], fetch: Fetch, limits: Limits
) -> object:
    value = given
    variable = f"{PREFIX}{name.upper()}"
    folder = environment.get(SECRETS_DIR)
    if value is None:
        value = environment.get(variable) or None
    if value is None and (path := environment.get(f"{variable}_FILE")):
        value = _of_file(Path(path), limits)
    if value is None and folder and (Path(folder) / name).is_file():
        value = _of_file(Path(folder) / name, limits)
    if isinstance(value, str) and value.startswith((_SECRETS_MANAGER, _PARAMETERS)):
        return fetch(value)
    return value


def _of_file(path: Path, limits: Limits) -> str:
    try:
        with path.open("rb") as file:
            read = file.read(limits.max_secret_bytes + 1)
        text = read.decode()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "no text"
        raise _file_fault(path, f"{path}: {what}") from None
    if len(read) > limits.max_secret_bytes:
        raise _file_fault(path, f"{path}: more than {limits.max_secret_bytes} bytes")
    return text.rstrip("\r\n")


def _file_fault(path: Path, got: str) -> UsageError:
    return UsageError(
        expected="a mounted file with one value", got=got, where=str(path), action="mount it"
    )


def _bare(text: str) -> str:
    """An address without user, password and query, any of which may be a secret."""
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
        place = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{place}{port}{parts.path}"


# --- AWS ------------------------------------------------------------------------------------------


def from_aws(reference: str) -> str:
    """The value behind ``aws-sm://NAME#KEY`` or ``aws-ssm://NAME``.

    Region, credentials and ``AWS_ENDPOINT_URL`` are those of the environment or the machine's role.

    Raises:
        UsageError: boto3 is not installed, or there is no such secret or key.
        SinkError: AWS does not answer, or does not let us in.
    """
    try:
        import boto3  # noqa: PLC0415 - an extra
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _refused(reference, f"no module {error.name}: pip install 'sightline[aws]'") from None
    how = Config(
        connect_timeout=5, read_timeout=10, retries={"mode": "standard", "max_attempts": 4}
    )
    name, _, key = reference.partition("://")[2].partition("#")
    try:
        if reference.startswith(_PARAMETERS):
            got = boto3.client("ssm", config=how).get_parameter(Name=name, WithDecryption=True)
            return str(got["Parameter"]["Value"])
        client = boto3.client("secretsmanager", config=how)
        text = str(client.get_secret_value(SecretId=name)["SecretString"])
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("ResourceNotFoundException", "ParameterNotFound"):
            raise _refused(reference, "AWS has none of this name") from None
        raise _no_answer(reference, code) from None
    except BotoCoreError as error:
        raise _no_answer(reference, type(error).__name__) from None
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        raise _refused(reference, f"the secret has no key {key}") from None


def _refused(reference: str, got: str) -> UsageError:
    return UsageError(
        expected="a value in AWS", got=f"{reference}: {got}", where=reference, action="mend it"
    )


def _no_answer(reference: str, got: str) -> SightlineError:
    return SinkError(
        expected="AWS to give the value",
        got=got,
        where=reference,
        action="see AWS_REGION, the credentials or role, what it is allowed, and the network",
    )
