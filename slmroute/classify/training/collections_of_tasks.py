"""Readers for collections that keep prompts in files of their own kind: Python source, command pages, agent stores.

Python files are parsed, never run.
"""

from __future__ import annotations

import ast
import json
import random
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, cast

from slmroute.classify.training.mirror import Repository
from slmroute.classify.training.readers import Row, files_of, value_at

__all__ = ["COLLECTIONS", "kinds"]

TEMPLATE_SUFFIXES = re.compile(r"_(?:10templates|type|templates|no_opt|noopt)$")
TLDR_FORMS = ("{tool}: {wish}", "{wish} ({tool})", "bash: {wish}", "{wish}", "linux: {wish}?", "{tool} {wish}")
TRANSFORMS = re.compile(
    r"(?i)translat|summar|gramm|polish|extract|classif|title|proofread|convert|format|ocr|tag|correct|spell|rewrite|dictionary|vocab|lingu"
)


@cache
def kinds() -> dict[str, dict[str, frozenset[str]]]:
    """Read ``kinds.toml``: sets of words by collection and kind."""
    raw = files("slmroute.classify.training").joinpath("kinds.toml").read_text(encoding="utf-8")
    table = cast("dict[str, dict[str, str]]", tomllib.loads(raw))
    return {name: {kind: frozenset(words.split()) for kind, words in part.items()} for name, part in table.items()}


@cache
def tier_of_task(name: str) -> str | None:
    """Tell a Natural Instructions task's tier by its name; None where it is not clear, or not to be fitted on."""
    said = {kind for kind, words in kinds()["natural_instructions"].items() if re.search("|".join(words), name)}
    return said.pop() if said in ({"simple"}, {"complex"}) else None


def assigned(text: str, name: str) -> Any:
    """Give the literal that a Python source assigns to a name; parts that are no literals are left out."""
    for node in ast.parse(text).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        if value is not None and any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return literal(value)
    return None


def literal(node: ast.expr) -> Any:
    """Evaluate displays of constants; anything else becomes None."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Dict):
        return {
            literal(key): literal(value) for key, value in zip(node.keys, node.values, strict=True) if key is not None
        }
    if isinstance(node, ast.List | ast.Tuple):
        return [literal(item) for item in node.elts]
    return None


def natural_instructions(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take each task's definition with its example; the task's name tells the tier."""
    for _, text, groups in files_of(repository, source):
        tasks = cast("dict[str, dict[str, Any]]", assigned(text, "NATINST_META_DATA") or {})
        for name, task in tasks.items():
            given, tier = str(task["positive_examples"]["input"]).strip(), tier_of_task(name)
            if tier is None or not given:
                continue
            kind = "knowledge" if "mmmlu" in name else "text_task" if tier == "simple" else "reasoning"
            yield {**groups, "prompt": f"{task['definition']}\n\n{given}", "tier": tier, "category": kind}


def flan_templates(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take the templates of each data set; the harvest fills their slots."""
    for _, text, groups in files_of(repository, source):
        patterns = cast("dict[str, list[list[str]]]", assigned(text, "PATTERNS") or {})
        for name, templates in patterns.items():
            plain = TEMPLATE_SUFFIXES.sub("", name)
            tier = next((tier for tier, names in kinds()["flan"].items() if plain in names), "")
            for pair in templates or []:
                template = pair[0] if pair else None
                asks_back = re.search(
                    r"(?i)\b(?:generate|write|make up|create|come up with|what (?:was|is) the (?:context|question))\b",
                    template or "",
                )
                if tier and template and "{" in template and not asks_back:
                    yield {**groups, "template": template, "tier": tier, "category": plain}


def euroeval(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take the instruction of every language from EuroEval's prompt templates; the file tells the kind of task."""
    languages = cast("dict[str, str]", source["languages"])
    for _, text, groups in files_of(repository, source):
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Dict):
                continue
            for key, value in zip(node.keys, node.values, strict=True):
                if not (isinstance(key, ast.Name) and isinstance(value, ast.Call)):
                    continue
                settings = {keyword.arg: keyword.value for keyword in value.keywords}
                template = literal(settings.get("default_instruction_prompt", ast.Constant(None)))
                labels = label_names(settings.get("default_prompt_label_mapping"))
                language = languages.get(key.id.lower().split("_")[0])
                if isinstance(template, str) and language:
                    yield {
                        **groups,
                        "template": template.replace("{labels_str}", labels or "a, b, c, d"),
                        "language": language,
                    }


def label_names(node: ast.expr | None) -> str:
    """Give the labels of a ``dict(...)`` call as a list in words."""
    if not isinstance(node, ast.Call):
        return ""
    return ", ".join(str(keyword.value.value) for keyword in node.keywords if isinstance(keyword.value, ast.Constant))


def quoted_prompts(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take the prompts of PromptBench's attack file, those in other languages (kept as comments) included."""
    tasks = cast("dict[str, str]", source["tasks"])
    for _, text, groups in files_of(repository, source):
        task = ""
        for line in text.split("\n"):
            if found := re.match(r"\s*['\"](\w+)['\"]\s*:\s*\{", line):
                task = found.group(1)
            elif (found := re.match(r"\s*(?:#\s*)?\"(.{8,})\"\s*,?\s*$", line)) and task in tasks:
                yield {
                    **groups,
                    "template": f"{found.group(1)}\n\n{{text}}"
                    if "{}" not in found.group(1)
                    else found.group(1).replace("{}", "{text}"),
                    "category": task,
                    "tier": tasks[task],
                }


def command_pages(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Make one-line requests for a command of the descriptions in tldr pages."""
    dice = random.Random("tldr")  # noqa: S311 - reproducible forms, nothing secret
    for path, text, groups in files_of(repository, source):
        tool = path.rsplit("/", 1)[-1].removesuffix(".md")
        # An alias's page has one description: see the other page.
        wishes = [] if text.count("\n- ") < 2 else re.findall(r"^- (.{12,120}):\s*$", text, re.MULTILINE)
        if wishes:
            wish = re.sub(r"[\[\]`]", "", dice.choice(wishes))
            yield {**groups, "prompt": dice.choice(TLDR_FORMS).format(tool=tool, wish=wish)}


def agent_store(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take the first user message and the opening questions of each agent, agents that only transform text left out."""
    for path, text, groups in files_of(repository, source):
        if TRANSFORMS.search(path.split("/")[-2]):
            continue
        agent = cast("dict[str, Any]", json.loads(text))
        words = " ".join(map(str, cast("dict[str, Any]", agent.get("meta") or {}).get("tags") or []))
        if TRANSFORMS.search(words):
            continue
        examples = cast("list[Any]", agent.get("examples") or [])
        said = [value_at(example, "content") for example in examples if value_at(example, "role") == "user"]
        for prompt in said[:1] if len(path) % 3 else [*said[:1], *said[1:2]]:
            if len(prompt) > 8:
                yield {**groups, "prompt": prompt}


def sea_templates(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take the prompt of each language from SEA-HELM's task files; the folder tells the kind of task."""
    for path, text, groups in files_of(repository, source):
        language, parts, key, depth = "", dict[str, list[str]](), "", 0
        for line in [*text.split("\n"), "    zz:"]:
            indent = len(line) - len(line.lstrip())
            if found := re.match(r"    (\w\w):\s*$", line):
                if language and "task_template" in parts:
                    body = "\n\n".join("\n".join(parts.get(part, [])) for part in ("preamble", "task_template"))
                    tier = "complex" if "causal" in path else "simple"
                    body = re.sub(r"\{answer_tag\}", "", body)
                    yield {
                        **groups,
                        "template": body.strip(),
                        "language": language,
                        "tier": tier,
                        "category": path.split("/")[-2],
                    }
                language, parts, key = found.group(1), {}, ""
            elif found := re.match(r"\s+(preamble|task_template|answer_template): \|-", line):
                key, depth = found.group(1), indent
                parts[key] = []
            elif key and (indent > depth or not line.strip()):
                parts[key].append(line[depth + 2 :])
            else:
                key = ""


def thai_questions(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Read iApp's question answering, one JSON object with a flat context and question a line."""
    for _, text, groups in files_of(repository, source):
        for line in text.split("\n"):
            if line.strip():
                asked = cast("dict[str, Any]", json.loads(line))
                yield {**groups, "text": str(asked["context"]), "question": str(asked["question"])}


def sentence_questions(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Read QAMR: questions in one table, their sentences in another; the first question of each sentence."""
    sentences: dict[str, str] = {}
    for _, text, _ in files_of(repository, {"files": source["sentences"]}):
        for line in text.split("\n"):
            key, _, sentence = line.partition("\t")
            sentences[key] = sentence
    for _, text, groups in files_of(repository, source):
        asked: dict[str, str] = {}
        for line in text.split("\n"):
            columns = line.split("\t")
            if len(columns) > 5:
                asked.setdefault(columns[0], columns[5])
        for key, question in asked.items():
            if sentences.get(key):
                yield {**groups, "text": sentences[key].replace(" ,", ",").replace(" .", "."), "question": question}


def harness_templates(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take the prompts of lm-evaluation-harness's task files, their Jinja slots turned into ours."""
    for _, text, groups in files_of(repository, source):
        for found in re.finditer(r'^doc_to_text:\s*"((?:[^"\\]|\\.)*)"', text, re.MULTILINE | re.DOTALL):
            quoted = re.sub(r"\\\n\s*\\?|\n\s*", lambda match: "" if match[0][0] == "\\" else " ", found.group(1))
            try:
                template = cast("str", json.loads(f'"{quoted}"'))
            except ValueError:
                continue
            template = re.sub(r"\{\{\s*(.*?)\s*\}\}", lambda match: f"{{{slot_named(match[1])}}}", template)
            if "{%" not in template and "{" in template and len(template) > len("{question} {text}"):
                yield {**groups, "template": template}


def slot_named(expression: str) -> str:
    """Give the slot of ours that a Jinja expression stands for."""
    if re.search(r"(?i)question|query|domanda|galdera|pregunta", expression):
        return "question"
    return "sentence1" if re.search(r"(?i)premise|hypothesis|sentence|choice|option|word|label", expression) else "text"


COLLECTIONS = {
    "harness_templates": harness_templates,
    "sentence_questions": sentence_questions,
    "sea_templates": sea_templates,
    "thai_questions": thai_questions,
    "natural_instructions": natural_instructions,
    "flan_templates": flan_templates,
    "euroeval": euroeval,
    "quoted_prompts": quoted_prompts,
    "command_pages": command_pages,
    "agent_store": agent_store,
}
