# Copyright (c) 2026 vmguard contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes recordings and a page of findings from the exchanges of a run of prove_azure.yml.

``python page.py FOLDER`` does it again for an older run. What it says comes from the exchanges in
``FOLDER/exchanges/<step>/`` alone: what was planned and not asked is called not asked.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

UNKNOWNS = Path(__file__).with_name("unknowns.yml")
AS_ASSUMED, OTHERWISE, UNFORESEEN, NOT_ASKED = "as assumed", "otherwise", "unforeseen", "not asked"
VERDICTS = (OTHERWISE, UNFORESEEN, AS_ASSUMED, NOT_ASKED)
_MISSING = object()
Exchange = dict[str, Any]


def load(folder: Path) -> dict[str, list[Exchange]]:
    """The exchanges of each step, in the order in which they were."""
    return {
        step.name: [
            {**json.loads(file.read_text()), "file": f"{step.name}/{file.name}"}
            for file in sorted(step.glob("[!.]*.json"))
        ]
        for step in sorted((folder / "exchanges").glob("[!.]*"))
    }


# -- what one request came to


class Outcome:
    """A request, its answer, and the end of the operation that it started.

    A request that was sent again counts with its last answer.
    """

    def __init__(self, exchanges: list[Exchange]) -> None:
        first = exchanges[0]["request"]
        same = [one for one in exchanges if _same(one["request"], first)]
        polls = [one for one in exchanges if not _same(one["request"], first)]
        self.request = first
        self.answer = same[-1]["response"]
        self.operation = polls[-1]["response"] if polls else None
        self.files = [one["file"] for one in (*same[-1:], *polls[-1:])]

    @property
    def status(self) -> int:
        return self.answer["status"]

    @property
    def ended(self) -> str:
        """``Refused``, or what the operation came to; ``Succeeded`` where there was none."""
        if self.status >= 400:
            return "Refused"
        if self.operation is None:
            return "Succeeded"
        body = self.operation["body"]
        told = body.get("status") if isinstance(body, Mapping) else None
        return told or ("Succeeded" if self.operation["status"] < 400 else "Failed")

    @property
    def error(self) -> Mapping[str, Any]:
        for response in (self.operation, self.answer):
            body = response["body"] if response else None
            error = body.get("error") if isinstance(body, Mapping) else None
            if isinstance(error, Mapping):
                return error
        return {}

    def member(self, path: str) -> Any:
        """A member of the answer, of the operation's end after ``operation.``."""
        body = self.answer["body"]
        if path.startswith("operation."):
            body, path = (self.operation or {}).get("body"), path.removeprefix("operation.")
        if path.startswith("headers."):
            return self.answer["headers"].get(path.removeprefix("headers."), _MISSING)
        for part in path.split("."):
            if isinstance(body, Mapping) and part in body:
                body = body[part]
            elif isinstance(body, list) and part.isdigit() and int(part) < len(body):
                body = body[int(part)]
            else:
                return _MISSING
        return body

    def words(self) -> str:
        """One line for people."""
        said = f"{self.status}"
        if self.operation is not None:
            said += f", operation {self.ended}"
        if code := self.error.get("code"):
            said += f" {code}: {str(self.error.get('message') or '')[:300]}"
        return said


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return (one["method"], one["path"]) == (other["method"], other["path"])


class Seen:
    """What a step's exchanges tell, by the names of its requests or by what was asked."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._exchanges = exchanges

    def find(self, condition: Mapping[str, Any]) -> Outcome | None:
        """The outcome that a condition speaks of; of several that match, the last."""
        if name := condition.get("of"):
            found = [one for one in self._exchanges if one.get("name") == name]
        else:
            wanted = re.compile(condition["request"])
            matching = [
                one
                for one in self._exchanges
                if "name" not in one
                and wanted.search(f"{one['request']['method']} {one['request']['path']}")
            ]
            found = [one for one in matching if _same(one["request"], matching[-1]["request"])]
        return Outcome(found) if found else None


# -- conditions, findings


def holds(condition: Mapping[str, Any], seen: Seen) -> bool:
    """Whether what was seen is so; nothing is so of what was not asked."""
    outcome = seen.find(condition)
    if outcome is None:
        return False
    checks = {
        "accepted": lambda wanted: (outcome.ended == "Succeeded") is wanted,
        "status": lambda wanted: (
            outcome.status in (wanted if isinstance(wanted, list) else [wanted])
        ),
        "code": lambda wanted: outcome.error.get("code") == wanted,
        "body_has": lambda wanted: bool(re.search(wanted, str(outcome.answer["body"]), re.S)),
        "says": lambda wanted: bool(re.search(wanted, str(outcome.error.get("message")), re.I)),
    }
    if not all(check(condition[name]) for name, check in checks.items() if name in condition):
        return False
    return "member" not in condition or _member_holds(outcome, condition, seen)


def _member_holds(outcome: Outcome, condition: Mapping[str, Any], seen: Seen) -> bool:
    value = outcome.member(condition["member"])
    if "absent" in condition:
        return (value is _MISSING) is condition["absent"]
    if value is _MISSING:
        return False
    if "same_as" in condition:
        other = seen.find({"of": condition["same_as"]})
        same = other is not None and other.member(condition["member"]) == value
        return same is condition.get("is", True)
    if "length" in condition:
        return len(value) == condition["length"]
    if "below" in condition:
        return isinstance(value, (int, float)) and value < condition["below"]
    return value == condition["equals"]


def judge(unknown: Mapping[str, Any], exchanges: list[Exchange]) -> dict[str, Any]:
    """What was seen of one unknown."""
    seen = Seen(exchanges)
    wanted = [{"of": name} if isinstance(name, str) else name for name in unknown["evidence"]]
    outcomes = [(one, seen.find(one)) for one in wanted]
    evidence = [
        {
            "asked": f"{outcome.request['method']} {outcome.request['path']}",
            "name": condition.get("of", ""),
            "answer": outcome.words(),
            "exchanges": outcome.files,
        }
        for condition, outcome in outcomes
        if outcome is not None
    ]
    verdict, says = NOT_ASKED, "No exchange of this run answers it."
    if evidence:
        verdict, says = (
            UNFORESEEN,
            "Azure answered in a way that nobody foresaw: see the exchanges.",
        )
        for finding in unknown["findings"]:
            if all(holds(condition, seen) for condition in finding["when"]):
                verdict = AS_ASSUMED if finding.get("assumed") else OTHERWISE
                says = finding["says"]
                break
    kept = {key: unknown[key] for key in ("id", "step", "question", "matters", "source")}
    assumed = next((one["says"] for one in unknown["findings"] if one.get("assumed")), "")
    return {**kept, "expected": assumed, "verdict": verdict, "seen": says, "evidence": evidence}


# -- what is written


def recording(step: str, exchanges: Iterable[Exchange]) -> dict[str, Any]:
    """The exchanges with Resource Manager as the contract tests replay them."""
    told = [one for one in exchanges if one.get("service", "arm") == "arm"]
    return {
        "source": "playbooks/prove_azure.yml of vmguard.azure",
        "api_version": ", ".join(
            sorted({found[1] for one in told if (found := _version(one["request"]["query"]))})
        ),
        "scenario": f"the step {step}",
        "elisions": "signatures, passwords, keys and ids of subscription, tenant and login replaced",
        "retry_after": "as answered",
        "exchanges": [
            {
                "request": {
                    **{key: one["request"][key] for key in ("method", "path", "query", "body")},
                    **(
                        {"headers": one["request"]["headers"]}
                        if "headers" in one["request"]
                        else {}
                    ),
                },
                "response": one["response"],
                "note": f"{one.get('name', '')} {one['time']}".strip(),
            }
            for one in told
        ],
    }


def _version(query: str) -> re.Match[str] | None:
    return re.search(r"api-version=([\d-]+)", query or "")


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def markdown(page: Mapping[str, Any]) -> str:
    """The page for people."""
    lines = ["# What Azure was seen to do", "", f"Run {page['run']}. {page['summary']}", ""]
    if page["broken"]:
        lines += ["Steps that ended early:", ""]
        lines += [f"- {step}: {_cell(why)}" for step, why in page["broken"].items()] + [""]
    if page["left"]:
        lines += ["Not deleted:", "", *(f"- `{one}`" for one in page["left"]), ""]
    for verdict in VERDICTS:
        chosen = [one for one in page["unknowns"] if one["verdict"] == verdict]
        if not chosen:
            continue
        lines += [f"## {verdict.capitalize()}", ""]
        for one in chosen:
            lines += [f"### {one['id']}: {one['question']}", ""]
            lines += [f"- Matters because: {one['matters']}", f"- Expected: {one['expected']}"]
            lines += [f"- Seen: {one['seen']}", f"- Source of the expectation: {one['source']}", ""]
            if one["evidence"]:
                lines += ["| asked | answer |", "|---|---|"]
                lines += [
                    f"| {_cell(seen['name'])} `{_cell(seen['asked'])}` | {_cell(seen['answer'])} |"
                    for seen in one["evidence"]
                ]
                lines.append("")
    return "\n".join(lines)


def build(folder: Path, broken: Mapping[str, str], left: list[str]) -> dict[str, Any]:
    """Judge a run and write what it says into its folder."""
    steps = load(folder)
    unknowns = yaml.safe_load(UNKNOWNS.read_text())
    judged = [judge(one, steps.get(one["step"], [])) for one in unknowns]
    counts = {name: sum(one["verdict"] == name for one in judged) for name in VERDICTS}
    page = {
        "run": folder.name,
        "summary": ", ".join(f"{count} {name}" for name, count in counts.items()) + ".",
        "exchanges": {step: len(found) for step, found in steps.items()},
        "broken": dict(broken),
        "left": left,
        "unknowns": judged,
    }
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    for step, exchanges in steps.items():
        told = json.dumps(recording(step, exchanges), indent=1)
        (folder / "recordings" / f"{step}.json").write_text(f"{told}\n")
    (folder / "page.json").write_text(f"{json.dumps(page, indent=1)}\n")
    (folder / "page.md").write_text(markdown(page))
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--broken", type=json.loads, default={}, help="steps that ended early")
    parser.add_argument("--left", type=json.loads, default=[], help="ids of what is left")
    given = parser.parse_args()
    page = build(given.folder, given.broken, given.left)
    sys.stdout.write(f"{given.folder / 'page.md'}: {page['summary']}\n")


if __name__ == "__main__":
    main()
