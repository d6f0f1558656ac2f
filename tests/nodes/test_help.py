"""Help pages, translations, and the metadata that the registry reads."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from typing import Any, get_args

import pytest
import tomllib
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from PIL import Image

from driver.comfy.process import PACK
from driver.paths import COMFYUI
from story_studio.checks.verdict import Verdict, thresholds

DOCS = PACK / "web" / "docs"
LOCALES = PACK / "locales"
ENGLISH: dict[str, Any] = json.loads((LOCALES / "en" / "nodeDefs.json").read_text("utf-8"))
"""All nodes with their inputs and outputs: tests/nodes/test_object_info.py compares it with the schemas."""
IMAGES_KB = 300
CHINESE = re.compile("[\u4e00-\u9fff]")
PAGES = [page for node in ENGLISH for page in (f"{node}.md", f"{node}/zh.md")]
METADATA = tomllib.loads((PACK / "pyproject.toml").read_text("utf-8"))


def keys(texts: Any, path: str = "") -> set[str]:
    """The paths of all texts in a locale."""
    if not isinstance(texts, dict):
        return {path}
    return {key for name, nested in texts.items() for key in keys(nested, f"{path}/{name}")}


def strings(texts: Any) -> list[str]:
    """All texts of a locale."""
    if isinstance(texts, str):
        return [texts]
    return [text for nested in texts.values() for text in strings(nested)]


@functools.cache
def string_literals() -> str:
    """Every string in the pack's Python files, one per line, with … for interpolated values."""
    literals = []
    for path in PACK.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "…" for part in node.values]
                literals.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                literals.append(node.value)
    return "\n".join(literals)


def messages(page: str) -> list[str]:
    """The messages that the last section of a page, on failures, explains."""
    return re.findall("^- `([^`]+)`", page.split("\n## ")[-1], re.MULTILINE)


def images(page: str) -> list[str]:
    """The paths of the images on a page."""
    return re.findall(r"!\[[^]]+\]\(([^)]+)\)", page)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_documents_all_inputs_and_outputs(name: str) -> None:
    page = (DOCS / name).read_text("utf-8")
    node = ENGLISH[name.removesuffix(".md").removesuffix("/zh")]
    title = node["display_name"] if "/" not in name else chinese()[name.split("/")[0]]["display_name"]
    assert page.startswith(f"# {title}\n")
    assert len(re.findall("^## ", page, re.MULTILINE)) == 4
    inputs, outputs = page.split("\n## ")[1:3]
    documented = re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in rows(inputs)))
    assert set(documented) == set(node["inputs"]) - {"control_after_generate"}
    assert len(rows(outputs)) == len(node["outputs"])
    assert images(page)


def rows(section: str) -> list[str]:
    """The rows of a section's table, without its head."""
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def chinese() -> dict[str, Any]:
    return json.loads((LOCALES / "zh" / "nodeDefs.json").read_text("utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_quoted_messages_exist_in_the_code(name: str) -> None:
    page = (DOCS / name).read_text("utf-8")
    texts = string_literals()
    for quoted in messages(page):
        # One … on a page may stand for several values and the text between them.
        parts = [re.escape(part) for part in quoted.split("…")]
        assert re.search("[^\n]*".join(parts), texts), quoted


def test_an_invented_message_is_detected() -> None:
    assert "A film needs at least one shot: add a scene." in string_literals()
    assert "There is no take … in output/…/…: enter the 24 digits" in string_literals()
    assert "The film ran away." not in string_literals()


def test_images_exist_and_are_small() -> None:
    # The interface resolves paths on translated pages relative to the folder of the English pages, too.
    used = {address for name in PAGES for address in images((DOCS / name).read_text("utf-8"))}
    shipped = {path for path in DOCS.rglob("*") if path.suffix not in ("", ".md")}
    assert {DOCS / address for address in used} == shipped
    for path in shipped:
        with Image.open(path) as image:
            image.verify()
    assert sum(path.stat().st_size for path in shipped) < IMAGES_KB * 1000


def test_there_is_one_page_per_node_and_language() -> None:
    assert {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} == set(PAGES)


def test_english_and_chinese_pages_quote_the_same_messages() -> None:
    for node in ENGLISH:
        quoted = [messages((DOCS / name).read_text("utf-8")) for name in (f"{node}.md", f"{node}/zh.md")]
        assert quoted[0] == quoted[1], node


def test_the_chinese_locale_is_complete() -> None:
    assert keys(chinese()) == keys(ENGLISH)
    # A few words, such as VAE, are the same in both languages; whole sentences are not.
    assert not [text for text in strings(chinese()) if len(text) > 4 and not CHINESE.search(text)]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_text_contains_syntax_of_the_interface(language: str) -> None:
    # vue-i18n, which renders the texts, uses these for links, plurals and placeholders.
    for path in (LOCALES / language).glob("*.json"):
        assert not [
            text for text in strings(json.loads(path.read_text("utf-8"))) if re.search("[@|{}]", text)
        ]


def test_the_panel_is_completely_translated() -> None:
    files = {path: path.read_text("utf-8") for path in (PACK / "web").rglob("*.*js")}
    table = "".join(files.pop(path) for path in list(files) if path.parent.name == "chinese")
    entries = re.findall(r"^  (?:'([^'\n]+)'|(\w+)):\s+'([^'\n]+)',$", table, re.MULTILINE)
    chinese = {quoted or word: text for quoted, word, text in entries}
    assert len(entries) == len(chinese) == table.count("',\n")
    # The panel translates the verdicts and figures that the server names, too.
    named = [*get_args(Verdict), *(entry.name for entry in thresholds().values())]
    code = "".join(files.values()) + "".join(f"t('{name}')" for name in named)
    written = code + "".join(code.replace("${part}", part) for part in ("still", "clip"))
    assert [word for word in chinese if not re.search(f"['`]{re.escape(word)}['`]", written)] == []
    called = {text for text in re.findall(r"\bt\(['`](.+?)['`][,)]", written) if "${" not in text}
    assert called - chinese.keys() == set()
    assert all(CHINESE.search(text) for text in chinese.values())
    assert all(text.count("{}") == word.count("{}") for word, text in chinese.items())


def test_the_registry_can_read_the_metadata() -> None:
    # ComfyUI parses it with the same code as the registry's own tool.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from comfy_config import config_parser; "
        "print(config_parser.extract_node_configuration(sys.argv[2]).model_dump_json())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(COMFYUI), str(PACK)], capture_output=True, text=True, check=True
    )
    assert not done.stderr
    read = json.loads(done.stdout)
    project, comfy = read["project"], read["tool_comfy"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert re.fullmatch("[a-z][a-z0-9-]*", project["name"])
    assert all([project["description"], project["license"]["text"], comfy["display_name"]])
    assert "0.3.75" in SpecifierSet(project["supported_comfyui_version"])
    assert "0.3.74" not in SpecifierSet(project["supported_comfyui_version"])
    # With it, ComfyUI would serve the folder a second time under another name.
    assert comfy["web"] is None


def test_the_registry_finds_nothing_unsafe() -> None:
    # The rules of its own tool, `comfy node validate`: exec, eval and several statements on a line.
    rules = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "S102,S307,E702", str(PACK)]
    done = subprocess.run(rules, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_requirements_match_the_metadata_and_have_no_upper_bounds() -> None:
    lines = (PACK / "requirements.txt").read_text("utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert requirements == [Requirement(line) for line in METADATA["project"]["dependencies"]]
    for requirement in requirements:
        assert all(bound.operator == ">=" for bound in requirement.specifier), requirement


def test_importing_the_pack_imports_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import story_studio; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PACK.parent, capture_output=True, text=True, check=True
    )
    assert ast.literal_eval(done.stdout) == ["story_studio"]
    assert not done.stderr
