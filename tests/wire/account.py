"""Read the accounts: YAML files, and the YAML blocks of the stories, as lists of replies.

An account either lists its replies, or extends another account and lists changes. Names (`${alb}`) are filled in last,
so an account that extends another can also rename what the other calls by name. What a reply may contain is not known here: `model` checks it.
"""

import copy
import itertools
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import yaml

STORY_BLOCK = re.compile(r"^```yaml account[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
RELATIVE = re.compile(r"now(?:([+-])((?:\d+[dhms])+))?$")
STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]|\[\"([^\"]+)\"\]")
MOST_SUBSETS_OF = 5


class Mistake(Exception):
    """What is wrong in an account: the file, the account, the call, and every offending path."""

    def __init__(self, file, name, call, problems):
        place = f"{file}: account {name}" + (f": {call}" if call else "")
        super().__init__("\n".join(f"{place}: {problem}" for problem in problems))


class Clock:
    """The account's now, for times such as `now-2h30m`."""

    def __init__(self, now):
        self.now = now

    def read(self, text):
        """The time that `text` means, or None when it is not a relative time."""
        match = RELATIVE.fullmatch(text)
        if not match:
            return None
        units = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
        parts = {units[unit]: int(number) for number, unit in re.findall(r"(\d+)([dhms])", match[2] or "")}
        return self.now + timedelta(**parts) * (-1 if match[1] == "-" else 1)


def asked(by: str | dict, ids: list[str]) -> dict:
    """How a request names several things: in a list of its own, or with one of EC2's filters."""
    return {by: ids} if isinstance(by, str) else {"Filters": [{"Name": by["filter"], "Values": ids}]}


@dataclass
class Reply:
    """One answer to one call, for every request that has the members of `when`."""

    call: str
    when: dict = field(default_factory=dict)
    reply: dict | None = None
    series: dict | None = None
    error: dict | None = None
    each: dict | None = None

    def body(self, clock):
        return self.reply if self.series is None else metric_data(self.series, clock)

    def subsets(self):
        """One reply for every set of things that the program may ask about in one call."""
        if not self.each:
            return [self]
        items = self.reply.get(self.each["list"], [])
        if len(items) > MOST_SUBSETS_OF:
            raise ValueError(f"each: {len(items)} items make too many subsets; {MOST_SUBSETS_OF} at most")
        chosen = (c for size in range(1, len(items) + 1) for c in itertools.combinations(items, size))
        return [
            replace(
                self,
                each=None,
                when=self.when | asked(self.each["asked"], [item[self.each["by"]] for item in items]),
                reply=self.reply | {self.each["list"]: list(items)},
            )
            for items in chosen
        ]


@dataclass
class Account:
    name: str
    file: str
    about: str
    now: datetime
    base: str | None
    names: dict
    replies: list[Reply]

    def clock(self):
        return Clock(self.now)

    def expanded(self):
        """The replies with every name filled in and every set of things asked about spelt out."""
        for reply in self.replies:
            try:
                filled = Reply(**fill(vars(reply), self.names, self.clock()))
                yield from filled.subsets()
            except (ValueError, KeyError, TypeError) as wrong:
                raise Mistake(self.file, self.name, reply.call, [describe(wrong)]) from wrong


def read_all(accounts, stories):
    """Every account by name, those that others extend before the others."""
    texts = {path.stem: (path, path.read_text()) for path in sorted(accounts.glob("*.yaml"))}
    for path in sorted(stories.glob("*.md")):
        blocks = STORY_BLOCK.findall(path.read_text())
        if len(blocks) != 1:
            raise Mistake(shown(path), path.stem, None, [f"a story has one block ```yaml account, this has {len(blocks)}"])
        if path.stem in texts:
            raise Mistake(shown(path), path.stem, None, [f"{shown(texts[path.stem][0])} has the same name"])
        texts[path.stem] = (path, blocks[0])
    done = {}
    for name in texts:
        read(name, texts, done, [])
    return done


def read(name, texts, done, above):
    if name in done:
        return done[name]
    path, text = texts[name]
    file = shown(path)

    def refuse(problem, call=None):
        raise Mistake(file, name, call, [problem])

    try:
        raw = yaml.load(text, Strict)
    except yaml.YAMLError as wrong:
        refuse(f"not YAML: {wrong}")
    if not isinstance(raw, dict):
        refuse("an account is a mapping")
    for key in raw.keys() - {"about", "now", "names", "replies", "extends", "changes"}:
        refuse(f"unknown key {key}")
    base = None
    if "extends" in raw:
        if raw["extends"] not in texts or raw["extends"] in [*above, name]:
            refuse(f"extends {raw['extends']}, which is not another account")
        base = read(raw["extends"], texts, done, [*above, name])
    now = raw.get("now", base and base.now)
    if not isinstance(now, datetime):
        refuse("now is a time such as 2026-11-22T03:00:00Z")
    names = (base.names if base else {}) | raw.get("names", {})
    replies = copy.deepcopy(base.replies) if base else []
    for position, entry in enumerate(raw.get("replies", [])):
        replies.append(new_reply(entry, refuse, f"replies[{position}]"))
    for position, change in enumerate(raw.get("changes") or []):
        replies = changed(replies, change, names, refuse, f"changes[{position}]")
    about = raw.get("about") or f"The account of the story {name}."
    done[name] = Account(name, file, about, as_utc(now), base and base.name, names, replies)
    return done[name]


def new_reply(entry, refuse, place, also=()):
    known = set(Reply.__dataclass_fields__) | set(also)
    for key in entry.keys() - known:
        refuse(f"{place}: unknown key {key}", entry.get("call"))
    reply = Reply(**{key: value for key, value in entry.items() if key in Reply.__dataclass_fields__})
    if sum(part is not None for part in (reply.reply, reply.series, reply.error)) != 1:
        refuse(f"{place}: has one of reply, series and error", reply.call)
    return reply


def changed(replies, change, names, refuse, place):
    """The replies after one change of an overlay."""
    call, when = change.get("call"), change.get("when", {})

    def selected(reply):
        known, asked = (fill(each, names, Clock(None)) for each in (reply.when, when))
        return reply.call == call and all(key in known and same(known[key], value) for key, value in asked.items())

    if change.get("add") and "like" not in change:
        return replies + [new_reply(change, refuse, place, {"add"})]
    if "like" in change:
        when = change["like"]
    try:
        matching = [reply for reply in replies if selected(reply)]
    except ValueError as wrong:
        refuse(f"{place}: when: {wrong}", call)
    if len(matching) != 1:
        hint = "; say add: true to add one" if not matching else f"; say more in when: {[reply.when for reply in matching]}"
        refuse(f"{place}: when {when} selects {len(matching)} replies of the base, not one{hint}", call)
    old = matching[0]
    if change.get("remove"):
        return [reply for reply in replies if reply is not old]
    if "set" in change:
        for key in change.keys() - {"call", "when", "set", *(("add", "like") if "like" in change else ())}:
            refuse(f"{place}: set goes without {key}", call)
        new = copy.deepcopy(old)
        target = new.series if new.reply is None else new.reply
        if target is None:
            refuse(f"{place}: set needs a reply to change, the base has an error", call)
        for path, value in change["set"].items():
            try:
                put(target, path, value)
            except (LookupError, TypeError, ValueError) as wrong:
                refuse(f"{place}: set {path}: {describe(wrong)}", call)
        if "like" in change:
            new.when, new.each = change.get("when", {}), None
            return replies + [new]
    else:
        new = new_reply(change, refuse, place, {"add"})
        new.when = old.when
        if "each" not in change and new.reply is not None:
            new.each = old.each
    return [new if reply is old else reply for reply in replies]


def put(target, path, value):
    """Set the value at a dotted path such as `services[0].events`; None deletes it, `like: services[0]` in it copies."""
    steps = steps_of(path)
    if isinstance(value, dict) and "like" in value:
        pattern = target
        for step in steps_of(value["like"]):
            pattern = pattern[step]
        value = {key: item for key, item in (pattern | value).items() if key != "like" and item is not None}
    for step in steps[:-1]:
        target = target.setdefault(step, {}) if isinstance(step, str) else target[step]
    last = steps[-1]
    if value is None:
        del target[last]
    elif isinstance(last, int) and last == len(target):
        target.append(copy.deepcopy(value))
    elif isinstance(target, dict) == isinstance(last, str):
        target[last] = copy.deepcopy(value)
    else:
        raise TypeError("a list is indexed with [0], a structure with .member")


def steps_of(path):
    return [int(index) if index else key or quoted for key, index, quoted in STEP.findall(path)]


def fill(value, names, clock):
    """The value with `${name}` and `${now-5m}` replaced by what they stand for."""
    if isinstance(value, dict):
        return {fill(key, names, clock): fill(item, names, clock) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, names, clock) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value

    def meaning(match):
        moment = clock.read(match[1])
        if moment:
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        if match[1] not in names:
            raise ValueError(f"no name {match[0]}")
        return fill(names[match[1]], names, clock)

    return re.sub(r"\$\{([^}]+)\}", meaning, value)


def metric_data(series, clock):
    """The reply of GetMetricData: newest first, as CloudWatch sends it.

    A number stands for the whole time, a list for its last values, oldest first, and `[]` for a metric without data. It is a value a minute over
    the last hour, or, with `period: 300`, one each five minutes over the day before that hour.
    """
    series = dict(series)
    step = timedelta(seconds=series.pop("period", 60))
    hour = timedelta(hours=1)
    end, count = (clock.now, hour // step) if step < timedelta(minutes=5) else (clock.now - hour, timedelta(days=1) // step)
    newest = datetime.fromtimestamp(end.timestamp() // step.total_seconds() * step.total_seconds(), timezone.utc) - step
    results = []
    for name, values in series.items():
        values = values if isinstance(values, list) else [values] * count
        points = [(newest - step * age, value) for age, value in enumerate(reversed(values)) if value is not None]
        times, numbers = [time for time, _ in points], [number for _, number in points]
        results.append({"Id": name, "Label": name, "Timestamps": times, "Values": numbers, "StatusCode": "Complete"})
    return {"MetricDataResults": results, "Messages": []}


def same(one, other):
    """Equality where the order of a list does not count."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(any(same(a, b) for b in other) for a in one)
    return one == other


def as_utc(moment):
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def describe(wrong):
    return f"{wrong}" if isinstance(wrong, ValueError) else f"{type(wrong).__name__}: {wrong}"


def shown(path):
    return path.relative_to(Path(__file__).resolve().parents[2]).as_posix()


class Strict(yaml.SafeLoader):
    """YAML, but a key given twice is a mistake."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge":
                key = self.construct_object(key_node, deep=True)
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key} is given twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)
