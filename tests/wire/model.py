"""What AWS's service models say: which operations, members, types and enum values exist.

`Problems.checked` walks a value along its shape and keeps every disagreement with its path. `requests` tells the loopback
server how to read the requests of the operations in use: it has no model of its own.
"""

import difflib
from datetime import datetime, timezone
from functools import cache

import botocore.session

# The services in use, by their botocore name, with the prefix of their IAM actions.
SERVICES = {
    "ecs": "ecs",
    "elbv2": "elasticloadbalancing",
    "ec2": "ec2",
    "cloudwatch": "cloudwatch",
    "logs": "logs",
    "ecr": "ecr",
    "acm": "acm",
    "application-autoscaling": "application-autoscaling",
    "autoscaling": "autoscaling",
    "cloudtrail": "cloudtrail",
    "iam": "iam",
    "rds": "rds",
    "secretsmanager": "secretsmanager",
    "servicediscovery": "servicediscovery",
    "wafv2": "wafv2",
}

# Where the model knows several protocols, and the Rust SDK speaks another than the first.
SPOKEN = {"servicediscovery": "json"}

# How many things one request may name. The models do not have these; they are in the API references.
AT_MOST = {
    "ecs.DescribeServices": {"services": 10},
    "ecs.DescribeTasks": {"tasks": 100},
    "ecs.DescribeServiceDeployments": {"serviceDeploymentArns": 20},
    "ecs.DescribeServiceRevisions": {"serviceRevisionArns": 20},
    "elbv2.DescribeLoadBalancers": {"LoadBalancerArns": 20},
    "elbv2.DescribeTargetGroups": {"TargetGroupArns": 20},
    "cloudwatch.DescribeAlarms": {"AlarmNames": 100},
    "cloudwatch.GetMetricData": {"MetricDataQueries": 500},
    "ecr.DescribeImages": {"imageIds": 100},
    "ecr.BatchGetImage": {"imageIds": 100},
}

# Errors that any operation may answer, so that no model lists them per operation.
COMMON_ERRORS = {
    "AccessDenied": 403, "AccessDeniedException": 400, "UnauthorizedOperation": 403,
    "Throttling": 400, "ThrottlingException": 400, "RequestLimitExceeded": 503,
    "ExpiredToken": 403, "ExpiredTokenException": 400, "RequestExpired": 400,
    "UnrecognizedClientException": 400, "InvalidClientTokenId": 403, "AuthFailure": 401, "OptInRequired": 403,
    "ValidationError": 400, "ValidationException": 400, "InternalFailure": 500, "ServiceUnavailable": 503,
}  # fmt: skip

NUMBERS = {"integer": int, "long": int, "float": (int, float), "double": (int, float)}


@cache
def service(name):
    model = botocore.session.get_session().get_service_model(name)
    model.metadata["protocol"] = SPOKEN.get(name, model.metadata["protocol"])
    return model


def operation(call):
    """The model of `ecs.DescribeServices`; a ValueError says what does not exist."""
    name, _, action = call.partition(".")
    if name not in SERVICES:
        raise ValueError(f"no service {name}; model.py lists {', '.join(SERVICES)}")
    if action not in service(name).operation_names:
        raise ValueError(f"no such operation{hint(action, service(name).operation_names)}")
    return service(name).operation_model(action)


class Problems:
    """Checks values against shapes, and keeps what is wrong."""

    def __init__(self, clock):
        self.clock = clock
        self.found = []

    def say(self, path, what):
        self.found.append(f"{path or 'reply'}: {what}")

    def is_member(self, shape, member, path):
        if shape is None or member not in shape.members:
            members = shape.members if shape else {}
            self.say(path, f"{shape.name if shape else 'nothing'} has no member {member}{hint(member, members)}")
            return False
        return True

    def checked(self, shape, value, path):
        """The value as the protocols want it: members known, times read, in the order of the model."""
        return getattr(self, f"checked_{shape.type_name}", self.checked_number)(shape, value, path)

    def checked_structure(self, shape, value, path):
        if not isinstance(value, dict):
            return self.say(path, f"is a {shape.name}, a mapping, not {value!r}")
        for member in value:
            self.is_member(shape, member, path)
        for member in shape.required_members:
            if value.get(member) is None:
                self.say(path, f"{shape.name} lacks the required member {member}")
        join = f"{path}." if path else ""
        return {
            name: self.checked(member, value[name], f"{join}{name}")
            for name, member in shape.members.items()
            if value.get(name) is not None
        }

    def checked_list(self, shape, value, path):
        if not isinstance(value, list):
            return self.say(path, f"is a list of {shape.member.name}, not {value!r}")
        return [self.checked(shape.member, item, f"{path}[{index}]") for index, item in enumerate(value)]

    def checked_map(self, shape, value, path):
        if not isinstance(value, dict):
            return self.say(path, f"is a mapping, not {value!r}")
        return {
            self.checked(shape.key, key, f"{path}.{key}"): self.checked(shape.value, item, f"{path}.{key}")
            for key, item in value.items()
        }

    def checked_string(self, shape, value, path):
        if not isinstance(value, str):
            return self.say(path, f"is a string; quote {value!r}")
        if shape.enum and value not in shape.enum:
            self.say(path, f"{shape.name} has no value {value}{hint(value, shape.enum)}")
        return value

    checked_char = checked_string

    def checked_blob(self, shape, value, path):
        return value.encode() if isinstance(value, str) else self.say(path, f"is text, not {value!r}")

    def checked_boolean(self, shape, value, path):
        return value if isinstance(value, bool) else self.say(path, f"is true or false, not {value!r}")

    def checked_timestamp(self, shape, value, path):
        moment = self.clock.read(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime):
            return self.say(path, f"is a time such as now-5m or 2026-11-22T03:00:00Z, not {value!r}")
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)

    def checked_number(self, shape, value, path):
        # CloudWatch Logs counts milliseconds in a long and calls it Timestamp.
        if shape.name == "Timestamp" and isinstance(value, (str, datetime)):
            moment = self.checked_timestamp(shape, value, path)
            return moment and int(moment.timestamp() * 1000)
        if isinstance(value, bool) or not isinstance(value, NUMBERS[shape.type_name]):
            return self.say(path, f"is a number ({shape.type_name}), not {value!r}")
        return value

    def error(self, operation, error):
        """The error as (code, message, status, shape name)."""
        code, modelled = error.get("code"), {}
        for shape in operation.error_shapes:
            details = shape.metadata.get("error", {})
            modelled[details.get("code", shape.name)] = (details.get("httpStatusCode", 400), shape.name)
        known = modelled | {common: (status, common) for common, status in COMMON_ERRORS.items() if common not in modelled}
        if code not in known and operation.service_model.service_name != "ec2":  # EC2's model has no errors at all.
            self.say("error.code", f"{operation.name} has no error {code}{hint(code, known)}")
        if not isinstance(error.get("message"), str):
            self.say("error.message", "is a string")
        for key in error.keys() - {"code", "message", "status"}:
            self.say("error", f"unknown key {key}")
        status, shape = known.get(code, (400, code))
        return code, error.get("message"), error.get("status", status), shape


def hint(word, words):
    close = difflib.get_close_matches(str(word), list(words), 1)
    return f"; is it {close[0]}?" if close else ""


def requests(calls):
    """How the server tells the operations apart and reads their requests."""
    described = {}
    for call in sorted(calls):
        name = call.split(".")[0]
        metadata = service(name).metadata
        one = described.setdefault(
            name,
            {
                "protocol": metadata["protocol"],
                "iam": SERVICES[name],
                "target": metadata.get("targetPrefix"),
                "version": metadata["apiVersion"],
                "namespace": metadata.get("xmlNamespace"),
                "operations": {},
            },
        )
        shape = operation(call).input_shape
        read = {"required": shape.required_members if shape else [], "at_most": AT_MOST.get(call, {})}
        if metadata["protocol"] in ("query", "ec2"):
            read["input"] = wire_names(shape, metadata["protocol"])
        one["operations"][operation(call).name] = read
    return described


def wire_names(shape, protocol, within=()):
    """The shape of a form-encoded request: the names on the wire, and the members and types that they stand for."""
    if shape is None:
        return {"structure": {}}
    if shape.name in within:
        raise ValueError(f"{shape.name} contains itself; the server cannot read it")
    within = (*within, shape.name)
    if shape.type_name == "structure":
        return {
            "structure": {
                wire_name(name, member, protocol): [name, wire_names(member, protocol, within)]
                for name, member in shape.members.items()
            }
        }
    if shape.type_name == "list":
        flat = protocol == "ec2" or shape.serialization.get("flattened")
        item = wire_names(shape.member, protocol, within)
        return {"list": item} if flat else {"list": item, "under": shape.member.serialization.get("name", "member")}
    if shape.type_name == "map":
        raise ValueError(f"{shape.name} is a map; the server cannot read maps in forms yet")
    return shape.type_name


def wire_name(name, member, protocol):
    """What a form calls a member; the rules are those of botocore's QuerySerializer and EC2Serializer."""
    if protocol == "ec2":
        given = member.serialization.get("queryName")
        plain = member.serialization.get("name", name)
        return given or plain[0].upper() + plain[1:]
    if member.type_name == "list" and member.serialization.get("flattened"):
        return member.member.serialization.get("name", name)
    return member.serialization.get("name", name)
