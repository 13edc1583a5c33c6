"""Marks that people and programs put round a text: tags, fences, quotation marks, rules, headings.

They are the same in all languages, and say nothing of how hard it is what is asked of the text.
"""

from __future__ import annotations

import random

__all__ = ["BARE", "enclosed"]

ENCLOSED = 0.35
"""How often a text on lines of its own is set apart by marks, whatever is asked of it."""

ENCLOSURES = (
    "<doc>\n{}\n</doc>",
    "<context>\n{}\n</context>",
    "<context>{}</context>",
    "<document>\n{}\n</document>",
    "<text>{}</text>",
    "<article>\n{}\n</article>",
    "<input>{}</input>",
    "<passage>\n{}\n</passage>",
    "```\n{}\n```",
    "```text\n{}\n```",
    "```\n{}\n```",
    '"""\n{}\n"""',
    '"""{}"""',
    "'''{}'''",
    "---\n{}\n---",
    "=====\n{}\n=====",
    "[CONTEXT]\n{}\n[/CONTEXT]",
    "### Text\n{}",
    "## Document\n\n{}",
)
HEADED = (
    "### Context\n{text}\n\n### Question\n{question}",
    "## Document\n\n{text}\n\n## Question\n\n{question}\n\n## Answer\n",
    "**Context:**\n{text}\n\n**Question:** {question}",
    "<context>\n{text}\n</context>\n\n<question>{question}</question>",
    "<document>\n{text}\n</document>\n<question>\n{question}\n</question>",
    "[CONTEXT]\n{text}\n[QUESTION]\n{question}",
    "# Question\n{question}\n\n# Sources\n{text}",
    "CONTEXT:\n{text}\n\nQUESTION: {question}",
    "## Instructions\n{question}\n\n## Input\n{text}",
)
"""A text and its question under headings; the same in all languages, as programs write them."""

HEADED_SHARE = 0.15
BARE = ("{text}\n\n{question}", "{question}\n\n{text}")


def enclosed(template: str, dice: random.Random) -> str:
    """Set the text of a template apart by marks now and then, and put its question under a heading."""
    slot = "{passages}" if "{passages}" in template else "{text}"
    if "{question}" in template and slot in template and dice.random() < HEADED_SHARE:
        return dice.choice(HEADED).replace("{text}", slot)
    alone = template.startswith(f"{slot}\n\n") or template.endswith(f"\n\n{slot}") or f"\n\n{slot}\n\n" in template
    if not alone or dice.random() >= ENCLOSED:
        return template
    return template.replace(slot, dice.choice(ENCLOSURES).format(slot))
