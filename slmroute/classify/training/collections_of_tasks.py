"""Readers for collections that keep prompts in files of their own kind: Python source, command pages, agent stores.

Python files are parsed, never run.
"""

from __future__ import annotations

import ast
import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from slmroute.classify.training.mirror import Repository
from slmroute.classify.training.readers import Row, files_of, value_at

__all__ = ["COLLECTIONS"]

NATURAL_SIMPLE = re.compile(
    r"sentiment|polarity|emotion|toxic|hate|offens|abus|spam|_ner\b|_ner_|named_entity|topic|categor|language_identification|summari|title_gen"
    r"|headline|keyword|keyphrase|identify_names|span_selection|span_detection|classification$|detection$|paraphras|entailment|squad1$"
    r"|quoref_answer|adversarial_qa|coqa_answer|viquiquad_answer|persianqa_answer|boolq_yes|record_answer|answerability|jfleg|grammar_correction"
    r"|ner_generation|date_conversion|check_validity|lhoestq_answer|subjqa|online_privacy_policy_text|qa_srl_answer|zre_answer|medical_subject"
)
NATURAL_COMPLEX = re.compile(
    r"mmmlu_answer|arithmetic|mathemat|mathdataset_answer|svamp|asdiv|mawps|mathqa|semeval_2019_10|algebra|commonsense|copa_|xcsr|winogrande_answer"
    r"|piqa_answer|hotpotqa|jeopardy|freebase_qa_answer|triviaqa_answer|webquestions?_(?:question_)?answer|to_sql|correcting_sql|leetcode"
    r"|story_generation|long_text_generation|openbookqa|arc_answer|qasc_question_answering|obqa_answer|answering_science|ruletaker_fact"
    r"|boolean_temporal|analogical|socialiqa_answer|head_qa|poki_text|counterfactual|country_|tellmewhy_answer|drop_answer_gen|iirc_answer"
    r"|hybridqa_answer|race_answer|quail_answer|cosmosqa_answer|reclor|strategyqa_question_decomp|winowhy_reason|diplomacy|logiqa"
)
NATURAL_NEITHER = re.compile(
    r"xquad|mgsm|dialogsum|clinc|snips|qmsum|wellformed|wnut|gaokao|cmrc|clue_|c3_|tnews|afqmc|ocnli|financial_phrasebank|cuad|casehold|incorrect|wrong"
    r"|atomic|event2mind|natural_?question|soqal|legal|question_generation|translation|translate|glucose|storycloze|defeasible|stereoset|conala|aqua"
    r"|professional_law|lsat|sat_|tatqa|finqa|narrativeqa_x|moderation|proverb_x|jecqa|truthful_x|scone|winobias|crows|xlm|opp|mmmlu_.*_x"
)
FLAN_SIMPLE = frozenset(
    """rte wsc wnli anli snli mnli cb qqp mrpc paws_wiki paws stsb sentiment140 sst2 imdb_reviews yelp_polarity_reviews yelp ag_news_subset ag_news
    trec cola newsroom cnn_dailymail xsum gigaword multi_news samsum aeslc wiki_lingua_english_en wiki_lingua record squad_v1 squad_v2 quac coqa
    multirc boolq opinion_abstracts_idebate opinion_abstracts_rotten_tomatoes qnli wic word_segment fix_punct true_case cosmos_qa_x dart_x""".split()
)
FLAN_COMPLEX = frozenset(
    """drop arc openbookqa natural_questions_x trivia_qa math_dataset gsm8k aqua strategyqa hellaswag copa story_cloze piqa winogrande winograd_x
    cot_gsm8k cot_strategyqa cot_creak cot_ecqa cot_sensemaking cot_esnli_x creak ecqa sensemaking program_synthesis_dmcc_python
    program_synthesis_dr_repair qrecc_x wiki_dialog_x unified_qa_science_inst""".split()
)
TEMPLATE_SUFFIXES = re.compile(r"_(?:10templates|type|templates|no_opt|noopt)$")
TLDR_FORMS = ("{tool}: {wish}", "{wish} ({tool})", "bash: {wish}", "{wish}", "linux: {wish}?", "{tool} {wish}")
LOBE_SIMPLE = re.compile(
    r"(?i)translat|summar|gramm|polish|extract|classif|title|proofread|convert|format|ocr|tag|correct|spell|rewrite|dictionary|vocab|lingu"
)


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
            simple, hard = bool(NATURAL_SIMPLE.search(name)), bool(NATURAL_COMPLEX.search(name))
            given = str(task["positive_examples"]["input"]).strip()
            if simple == hard or NATURAL_NEITHER.search(name) or not given:
                continue
            kind = "science" if "mmmlu" in name else re.sub(r"^task\d+_", "", name).split("_")[-1]
            yield {
                **groups,
                "prompt": f"{task['definition']}\n\n{given}",
                "tier": "simple" if simple else "complex",
                "category": kind,
            }


def flan_templates(repository: Repository, source: Mapping[str, Any]) -> Iterator[Row]:
    """Take the templates of each data set; the harvest fills their slots."""
    for _, text, groups in files_of(repository, source):
        patterns = cast("dict[str, list[list[str]]]", assigned(text, "PATTERNS") or {})
        for name, templates in patterns.items():
            plain = TEMPLATE_SUFFIXES.sub("", name)
            tier = "simple" if plain in FLAN_SIMPLE else "complex" if plain in FLAN_COMPLEX else ""
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
        if LOBE_SIMPLE.search(path.split("/")[-2]):
            continue
        agent = cast("dict[str, Any]", json.loads(text))
        words = " ".join(map(str, cast("dict[str, Any]", agent.get("meta") or {}).get("tags") or []))
        if LOBE_SIMPLE.search(words):
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
    """Read QAMR: questions in one table, the sentences they are about in another; the first question of each sentence."""
    sentences: dict[str, str] = {}
    for _, text, _ in files_of(repository, {"files": source["sentences"]}):
        sentences.update(line.split("\t", 1) for line in text.split("\n") if "\t" in line)
    for _, text, groups in files_of(repository, source):
        asked: dict[str, str] = {}
        for line in text.split("\n"):
            columns = line.split("\t")
            if len(columns) > 5:
                asked.setdefault(columns[0], columns[5])
        for key, question in asked.items():
            if key in sentences:
                yield {**groups, "text": sentences[key].replace(" ,", ",").replace(" .", "."), "question": question}


COLLECTIONS = {
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
