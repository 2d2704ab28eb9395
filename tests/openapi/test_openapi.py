"""Every operation of the API's own description, with requests that are right and requests that are wrong.

Requests are made by schemathesis, always the same ones. Whatever is asked, the broker must not fail, and must answer with a status,
a content type and a body that the description tells of. More than half of the requests name what is there (see conftest.py)."""
import os
import random
import re

import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from conftest import FREE, KEPT

# Of each operation, as many that are right and as many that are wrong.
EXAMPLES = int(os.environ.get("LONGSHORE_OPENAPI_EXAMPLES", "3"))
PARTITIONS_MAX = 10
# What the original does and this broker does not, where the description says so.
NOT_OFFERED = 501
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
# An empty body has no type and no form.
OF_BODIES = {checks.content_type_conformance, checks.response_schema_conformance}


def names(world, method):
    """What is there; what a GET does not name may be changed."""
    namespace = KEPT if method == "GET" else FREE
    return {
        "tenant": ["public"], "namespace": [namespace], "topic": ["t", "t", "parts", "parts-partition-0"], "subscription": ["s"],
        "cluster": ["standalone"], "broker": [f"127.0.0.1:{world.broker.web_port}"], "domain": ["persistent"],
        "ledger": [str(world.ledger)], "entry": ["0", "9", "10"], "count": ["1", "30"], "version": ["0", "1"], "key": ["k"],
        "role": ["role"], "time": ["0", "1"], "seconds": ["0", "3600"], "bundle": ["0x00000000_0xffffffff"],
    }


def with_known_names(case, world, chance):
    known = names(world, case.method)
    if case.path == "/admin/v2/tenants/{tenant}" and case.method != "GET":
        return
    for name in case.path_parameters or {}:
        if name in known:
            case.path_parameters[name] = chance.choice(known[name])


def bounded(body):
    """Each partition is a ledger: thousands would take long, and show nothing."""
    if isinstance(body, dict):
        return {**body, "partitions": bounded(body["partitions"])} if "partitions" in body else body
    is_many = isinstance(body, (int, float)) and not isinstance(body, bool) and PARTITIONS_MAX < body <= 10_000
    return 3 if is_many else body


def is_told_to_be_empty(case, response):
    answers = case.operation.definition.raw["responses"]
    return response.content == b"" and answers.get(str(response.status_code), {}).get("x-may-be-empty", False)


def ask(case, world):
    # Which names are taken follows from the request, so that every run is the same.
    chance = random.Random(repr((case.method, case.path, case.path_parameters, case.query, str(case.body))))
    if chance.random() < 0.6:
        with_known_names(case, world, chance)
    if case.path.endswith("/partitions"):
        case.body = bounded(case.body)
    return status_of(case, world)


def status_of(case, world):
    """The status of the answer, which is held against the description."""
    response = case.call()
    if case.method != "GET" and response.status_code < 300:
        world.put_right()
    left_out = OF_BODIES if is_told_to_be_empty(case, response) else set()
    if response.status_code == NOT_OFFERED and str(NOT_OFFERED) in case.operation.definition.raw["responses"]:
        left_out = left_out | {schemathesis.checks.not_a_server_error}
    case.validate_response(response, checks=[check for check in CHECKS if check not in left_out])
    return response.status_code


def ask_all(operation, mode, world, failures, done):
    """Asks an operation in one mode; keeps what fails and goes on."""

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet)
    @given(case=operation.as_strategy(generation_mode=mode))
    def examples(case):
        try:
            if ask(case, world) < 300:
                done.add(operation.label)
        except (Exception, FailureGroup) as failure:  # noqa: BLE001: the next operations are asked too
            failures.setdefault(operation.label, "\n".join(map(str, getattr(failure, "exceptions", [failure]))))

    examples()


def ask_what_is_there(operation, world, failures, done):
    """One request to read something that is there."""
    if operation.method != "get":
        return
    known = {name: values[0] for name, values in names(world, "GET").items()}
    if "partitioned" in operation.path:
        known["topic"] = "parts"
    case = operation.Case(path_parameters={name: known[name] for name in re.findall(r"{(\w+)}", operation.path)})
    try:
        if status_of(case, world) < 300:
            done.add(operation.label)
    except (Exception, FailureGroup) as failure:  # noqa: BLE001: the next operations are asked too
        failures.setdefault(operation.label, "\n".join(map(str, getattr(failure, "exceptions", [failure]))))


def test_what_is_described_is_answered(api, world):
    failures, done = {}, set()
    operations = [found.ok() for found in api.get_all_operations()]
    for operation in operations:
        ask_what_is_there(operation, world, failures, done)
        # What is wrong about a request without a body is its names, and those are made up half of the time anyway.
        for mode in [GenerationMode.POSITIVE, GenerationMode.NEGATIVE][: 2 if operation.body else 1]:
            ask_all(operation, mode, world, failures, done)
    assert not failures, "\n\n".join(f"{label}\n{failure}" for label, failure in failures.items())
    # What is read is there: a form that is told of a success was held against one. Writes are made right by conftest.py alone.
    never = [each.label for each in operations if each.method == "get" and is_possible(each) and each.label not in done]
    assert not never, f"never answered with a success: {never}"


def is_possible(operation):
    return any(status < "300" for status in operation.definition.raw["responses"])
