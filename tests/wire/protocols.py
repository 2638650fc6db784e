"""The bodies: a checked value in the protocol that its service speaks to the Rust SDK.

awsJson 1.1 (ECS, ECR, Logs), Query (ELB), EC2's dialect of Query, and Smithy's RPC v2 over CBOR (CloudWatch). Each walks the shape,
so names, wrappers and flattened lists are those of the model. The rules are the inverse of `botocore.parsers`. All bodies are text;
a CBOR body is described as JSON, one value for one of CBOR's, and the Rust server turns it into bytes.
"""

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Callable
from xml.sax.saxutils import escape

REQUEST_ID = "11111111-2222-3333-4444-555555555555"


def iso8601(moment):
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment.microsecond // 1000:03}Z" if moment.microsecond else f"{text}Z"


def epoch(moment):
    seconds = moment.timestamp()
    return int(seconds) if seconds.is_integer() else round(seconds, 3)


def plain(value):
    """A checked value as JSON, under the members' own names."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return epoch(value) if isinstance(value, datetime) else value


# awsJson

def named(shape, value):
    """A checked value with the names that its members have on the wire."""
    if shape.type_name == "structure":
        members = shape.members
        return {members[name].serialization.get("name", name): named(members[name], item) for name, item in value.items()}
    if shape.type_name == "list":
        return [named(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: named(shape.value, item) for key, item in value.items()}
    return value


def json_text(value):
    return json.dumps(plain(value), indent=1, ensure_ascii=False)


def json_reply(operation, value):
    return json_text(named(operation.output_shape, value))


def json_error(operation, code, message, shape):
    return json_text({"__type": shape, "message": message})


# Query and EC2

def element(name, children, depth):
    pad = "  " * depth
    return f"{pad}<{name}>\n{children}{pad}</{name}>\n" if children else f"{pad}<{name}/>\n"


def leaf(name, value, depth):
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, datetime):
        text = iso8601(value)
    else:
        text = escape(str(plain(value)))
    return f"{'  ' * depth}<{name}>{text}</{name}>\n"


def xml(shape, name, value, depth):
    """One member as XML. A flattened list is a row of elements without one around them."""
    if shape.type_name == "structure":
        return element(name, members(shape, value, depth + 1), depth)
    if shape.type_name == "list":
        item = shape.member.serialization.get("name", "member")
        if shape.serialization.get("flattened"):
            row = shape.member.serialization.get("name", name)
            return "".join(xml(shape.member, row, entry, depth) for entry in value)
        return element(name, "".join(xml(shape.member, item, entry, depth + 1) for entry in value), depth)
    if shape.type_name == "map":
        key, of = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
        entries = [leaf(key, k, depth + 2) + xml(shape.value, of, v, depth + 2) for k, v in value.items()]
        if shape.serialization.get("flattened"):
            raise NotImplementedError(f"{shape.name}: a flattened map")
        return element(name, "".join(element("entry", entry, depth + 1) for entry in entries), depth)
    return leaf(name, value, depth)


def members(shape, value, depth):
    rows = []
    for name, item in value.items():
        member = shape.members[name]
        if member.serialization.get("xmlAttribute"):
            raise NotImplementedError(f"{shape.name}.{name}: an XML attribute")
        rows.append(xml(member, member.serialization.get("name", name), item, depth))
    return "".join(rows)


def document(root, namespace, inside):
    attribute = f' xmlns="{namespace}"' if namespace else ""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{attribute}>\n{inside}</{root}>\n'


def query_reply(operation, value):
    shape = operation.output_shape
    inside = members(shape, value, 2)
    wrapper = shape.serialization.get("resultWrapper")
    inside = element(wrapper, inside, 1) if wrapper else inside
    inside += element("ResponseMetadata", leaf("RequestId", REQUEST_ID, 2), 1)
    return document(f"{operation.name}Response", operation.service_model.metadata["xmlNamespace"], inside)


def query_error(operation, code, message, shape):
    error = leaf("Type", "Sender", 2) + leaf("Code", code, 2) + leaf("Message", message, 2)
    inside = element("Error", error, 1) + leaf("RequestId", REQUEST_ID, 1)
    return document("ErrorResponse", operation.service_model.metadata["xmlNamespace"], inside)


def ec2_reply(operation, value):
    inside = leaf("requestId", REQUEST_ID, 1) + members(operation.output_shape, value, 1)
    return document(f"{operation.name}Response", operation.service_model.metadata["xmlNamespace"] + "/", inside)


def ec2_error(operation, code, message, shape):
    error = leaf("Code", code, 3) + leaf("Message", message, 3)
    inside = element("Errors", element("Error", error, 2), 1) + leaf("RequestID", REQUEST_ID, 1)
    return document("Response", None, inside)


# CBOR

def described(value, indent=""):
    """A value of CBOR as JSON: a number with a point is a double, and `"@2026-11-22T03:00:00Z"` the tag of a time.

    A list of scalars is one line, because a metric has one value for each minute.
    """
    if isinstance(value, bytes):
        raise NotImplementedError("a CBOR byte string")
    if isinstance(value, str) and value.startswith("@"):
        raise NotImplementedError(f"{value}: a text that looks like a time")
    if isinstance(value, datetime):
        return f'"@{iso8601(value)}"'
    if isinstance(value, dict):
        rows, brackets = [f"{json.dumps(key)}: {described(item, indent + ' ')}" for key, item in value.items()], "{}"
    elif isinstance(value, list):
        rows, brackets = [described(item, indent + " ") for item in value], "[]"
    else:
        return json.dumps(value, ensure_ascii=False)
    if not rows or isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value):
        return brackets[0] + ", ".join(rows) + brackets[1]
    inside = ",\n".join(f"{indent} {row}" for row in rows)
    return f"{brackets[0]}\n{inside}\n{indent}{brackets[1]}"


def typed(shape, value):
    """A checked value whose doubles are floats even where YAML wrote `1`."""
    if shape.type_name == "structure":
        return {name: typed(shape.members[name], item) for name, item in value.items()}
    if shape.type_name == "list":
        return [typed(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: typed(shape.value, item) for key, item in value.items()}
    return float(value) if shape.type_name in ("float", "double") else value


def cbor_reply(operation, value):
    return described(named(operation.output_shape, typed(operation.output_shape, value)))


def cbor_error(operation, code, message, shape):
    return described({"__type": f"com.amazonaws.{operation.service_model.service_name}#{shape}", "message": message})


@dataclass(frozen=True)
class Protocol:
    reply: Callable
    error: Callable


PROTOCOLS = {
    "json": Protocol(json_reply, json_error),
    "query": Protocol(query_reply, query_error),
    "ec2": Protocol(ec2_reply, ec2_error),
    "smithy-rpc-v2-cbor": Protocol(cbor_reply, cbor_error),
}


def of(operation):
    return PROTOCOLS[operation.service_model.metadata["protocol"]]


def reply(operation, value):
    return of(operation).reply(operation, value)


def error(operation, error):
    code, message, status, shape = error
    return status, of(operation).error(operation, code, message, shape)
