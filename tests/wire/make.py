#!/usr/bin/env python3
"""Turn the accounts and the stories into replies, byte for byte in the protocol that each AWS service speaks.

Every value is checked against AWS's own service models (botocore), so that no test can rest on a member, a type or an
enum value that AWS does not have. `make.py` writes `replies/`, `make.py --check` only says which files are stale.
The README beside this file has the format of an account, and of the file that is made of it.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import account
import model
import protocols

HERE = Path(__file__).resolve().parent
REPLIES = HERE / "replies"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the files that are stale")
    check = parser.parse_args().check
    try:
        wanted = everything()
    except account.Mistake as mistake:
        sys.exit(str(mistake))
    present = {path.relative_to(REPLIES).as_posix() for path in REPLIES.rglob("*") if path.is_file()}
    stale = [name for name, body in wanted.items() if name not in present or (REPLIES / name).read_bytes() != body]
    left_over = sorted(present - wanted.keys())
    if check:
        for name in sorted(stale) + left_over:
            print(f"stale: replies/{name}")
        if stale or left_over:
            sys.exit("run tests/wire/make.py and commit what it writes")
    else:
        write({name: wanted[name] for name in stale}, left_over)
    print(f"{len(wanted)} files, {len(stale)} stale, {len(left_over)} left over")


def everything():
    """All files of `replies/`, name to bytes."""
    accounts = account.read_all(HERE / "accounts", HERE.parent / "stories")
    rendered = {name: render(one) for name, one in accounts.items()}
    files = {}
    operations = set()
    for name, one in accounts.items():
        base = rendered[one.base] if one.base else {}
        files[f"{name}.txt"] = bundle(one, rendered[name], base).encode()
        operations |= {answer["call"] for answer in rendered[name].values()}
    files["requests.json"] = as_json(model.requests(operations))
    return files


def render(one):
    """Every answer of an account, by the call and the request it answers."""
    answers = {}
    for reply in one.expanded():
        try:
            operation = model.operation(reply.call)
        except ValueError as wrong:
            raise account.Mistake(one.file, one.name, reply.call, [wrong]) from wrong
        problems = model.Problems(one.clock())
        when = {
            member: value if value is None else problems.checked(operation.input_shape.members[member], value, f"when.{member}")
            for member, value in reply.when.items()
            if problems.is_member(operation.input_shape, member, "when")
        }
        if reply.error:
            status, body = protocols.error(operation, problems.error(operation, reply.error))
        else:
            checked = problems.checked(operation.output_shape, reply.body(one.clock()), "")
            status, body = 200, "" if problems.found else protocols.reply(operation, checked)
        if problems.found:
            raise account.Mistake(one.file, one.name, reply.call, problems.found)
        key = (reply.call, json.dumps(protocols.plain(when), sort_keys=True, ensure_ascii=False))
        if key in answers:
            raise account.Mistake(one.file, one.name, reply.call, [f"two replies for the same request, {key[1]}"])
        if body.startswith("> ") or "\n> " in body:
            raise account.Mistake(one.file, one.name, reply.call, ["a line of the body begins like a request"])
        answers[key] = {"call": reply.call, "status": status, "body": body}
    return answers


def bundle(one, answers, base):
    """The text of one account: what differs from its base. Requests that get the same answer stand above it together."""
    lines = [f"about: {one.about}", f"now: {protocols.iso8601(one.now)}"]
    if one.base:
        lines.append(f"base: {one.base}")
    own = [(key, answer) for key, answer in answers.items() if base.get(key) != answer]
    for answer, group in itertools.groupby(own, lambda pair: pair[1]):
        lines += [request(key) for key, _ in group]
        lines += [f"< {answer['status']}", answer["body"]]
    gone = [request(key) for key in base if key not in answers]
    lines += gone + ["< gone"] * bool(gone)
    return "\n".join(lines) + "\n"


def request(key):
    call, when = key
    return f"> {call} {when}"


def as_json(value):
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write(files, left_over):
    for name in left_over:
        (REPLIES / name).unlink()
    for name, body in files.items():
        path = REPLIES / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    for path in sorted(REPLIES.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


if __name__ == "__main__":
    main()
