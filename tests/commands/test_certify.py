from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lipscope.checkpoint import sha256_of
from lipscope.cli import run
from lipscope.data.synthetic import synthetic
from lipscope.results import read_results, results_path, write_results
from tests.full_disk import full_disk
from tests.models_on_disk import alter, scaled, spoiled

pytestmark = pytest.mark.usefixtures("no_data")


@pytest.fixture(scope="module")
def _results(tiny_file, tmp_path_factory):
    """The results file of the tiny model, computed once."""
    copy = tmp_path_factory.mktemp("certified") / "model.safetensors"
    copy.write_bytes(tiny_file.read_bytes())
    assert run(["certify", str(copy)]) == 0
    return results_path(copy).read_bytes()


@pytest.fixture
def certified(_results, tiny_model):
    """A model with its results file."""
    results_path(tiny_model).write_bytes(_results)
    return tiny_model


def certify(*arguments: object) -> int:
    return run(["certify", *(str(argument) for argument in arguments)])


def as_json(capsys, *arguments: object) -> dict:
    """The one object on stdout, which must be strict JSON."""
    capsys.readouterr()
    assert certify(*arguments, "--json") == 0

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(capsys.readouterr().out, parse_constant=refuse)


def test_the_json_object(tiny_model, capsys):
    facts = as_json(capsys, tiny_model)
    assert facts["schema"] == "lipscope.certify/1"
    assert facts["model"] == {
        "path": str(tiny_model), "sha256": sha256_of(tiny_model), "architecture": "lipconvnet",
    }  # fmt: skip
    assert (facts["data"]["name"], facts["data"]["split"], facts["data"]["n"]) == ("synthetic", "test", 1000)
    assert facts["data"]["fingerprint"] == synthetic("synthetic", "test").fingerprint()
    assert facts["lipschitz"]["proved"] is True
    assert facts["lipschitz"]["value"] >= 1 / 0.2507
    assert facts["kind"] == "real-arithmetic"
    assert set(facts["clean"]) == {"count", "rate"}
    assert [row["eps"] for row in facts["certified"]] == ["36/255", "72/255", "108/255", "255/255"]
    assert all(set(row) == {"eps", "count", "rate"} for row in facts["certified"])
    assert isinstance(facts["average_certified_radius"], float)
    assert facts["environment"]["dtype"] == "float32"
    assert set(facts["environment"]["fp32_precision"].values()) == {"ieee"}
    assert "images" not in facts


def test_every_figure_follows_from_the_images(tiny_model, capsys):
    facts = as_json(capsys, tiny_model, "--per-image", "--logits", "--eps", "5/255", "--eps", "0", "--eps", "0.1")
    images, n = facts["images"], 1000
    labels = synthetic("synthetic", "test").labels
    assert [image["index"] for image in images] == list(range(n))
    assert [image["label"] for image in images] == labels.tolist()
    right = [image for image in images if image["label"] == image["predicted"]]
    assert facts["clean"] == {"count": len(right), "rate": len(right) / n}
    for row, eps in zip(facts["certified"], (Fraction(5, 255), Fraction(0), Fraction(1, 10)), strict=True):
        count = sum(Fraction(image["radius"]) > eps for image in right)
        assert (row["count"], row["rate"]) == (count, count / n)
    assert facts["certified"][0]["count"] < facts["certified"][1]["count"]
    radii = [image["radius"] for image in right]
    assert facts["average_certified_radius"] == pytest.approx(sum(radii) / n)
    assert facts["mean_radius_of_correct"] == pytest.approx(sum(radii) / len(right))

    # The radii follow from the logits and the rows in the file, over every pair.
    rows = load_file(tiny_model)["head.weight"].astype(np.float64)
    lipschitz = facts["lipschitz"]["value"]
    for image in images:
        logits, winner = np.array(image["logits"]), image["predicted"]
        assert logits[winner] == logits.max()
        quotients = {
            i: (logits[winner] - logits[i]) / np.linalg.norm(rows[winner] - rows[i]) / lipschitz
            for i in range(10)
            if i != winner
        }
        assert image["runner_up"] == min(quotients, key=quotients.get)
        assert image["radius"] == pytest.approx(min(quotients.values()), rel=1e-12)
        assert image["radius"] <= min(quotients.values())


def test_the_table_says_the_same(certified, capsys):
    facts = as_json(capsys, certified, "--eps", "7/255", "--eps", "36/255")
    assert certify(certified, "--eps", "7/255", "--eps", "36/255") == 0
    text = capsys.readouterr().out
    rows = re.findall(r"^(clean|certified @ (\S+)) +([\d.]+)% +(\d+)$", text, re.MULTILINE)
    expected = [("clean", "", facts["clean"])]
    expected += [(f"certified @ {row['eps']}", row["eps"], row) for row in facts["certified"]]
    assert [(name, eps, int(count)) for name, eps, _, count in rows] == [
        (name, eps, figures["count"]) for name, eps, figures in expected
    ]
    for (_, _, percent, _), (_, _, figures) in zip(rows, expected, strict=True):
        assert percent == f"{figures['rate'] * 100:.2f}"
    assert facts["model"]["sha256"][:12] in text
    printed = float(re.search(r"^L +(\S+), proved", text, re.MULTILINE)[1])
    assert printed >= facts["lipschitz"]["value"]  # never less than what is proved
    average = float(re.search(r"average certified radius +([\d.]+)", text)[1])
    assert average == pytest.approx(facts["average_certified_radius"], abs=5e-5)
    bars = re.findall(r"^ *[\d.]+ - +[\d.]+ +(\d+)", text, re.MULTILINE)
    assert sum(map(int, bars)) == facts["clean"]["count"]
    assert int(re.search(r"misclassified +(\d+)", text)[1]) == 1000 - facts["clean"]["count"]


def test_radii_are_in_the_order_that_was_asked_for(certified, capsys):
    given = ["1/2", "36/255", "0.3", "36/255", "255/255"]
    options = [part for text in given for part in ("--eps", text)]
    assert [row["eps"] for row in as_json(capsys, certified, *options)["certified"]] == [
        "1/2", "36/255", "3/10", "255/255",
    ]  # fmt: skip


def test_the_second_call_answers_from_the_results_file(certified, capsys):
    first = results_path(certified).read_bytes()
    assert certify(certified) == 0
    again = capsys.readouterr()
    assert "answered from" in again.err
    assert certify(certified, "--force") == 0
    forced = capsys.readouterr()
    assert "answered from" not in forced.err
    assert f"results kept in {results_path(certified)}" in forced.err
    assert forced.out == again.out
    certificates, _ = read_results(results_path(certified))
    results_path(certified).write_bytes(first)
    before, _ = read_results(results_path(certified))
    np.testing.assert_array_equal(certificates.radius, before.radius)


def test_results_are_those_of_these_very_bytes(certified, capsys):
    assert read_results(results_path(certified))[0].model_sha256 == sha256_of(certified)
    alter(certified, tensors=lambda tensors: tensors["head.bias"].add_(0.5))
    assert certify(certified) == 0
    assert "answered from" not in capsys.readouterr().err
    assert read_results(results_path(certified))[0].model_sha256 == sha256_of(certified)


def test_other_data_are_other_results(certified, capsys, monkeypatch):
    import lipscope.data

    real = lipscope.data.load
    monkeypatch.setattr(lipscope.data, "load", lambda name, split, folder: real(name, split, folder).subset(range(99)))
    facts = as_json(capsys, certified)
    assert facts["data"]["n"] == 99


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_results_file_is_replaced(certified, capsys, damage):
    target = results_path(certified)
    target.write_bytes(target.read_bytes()[:-9] if damage is None else damage)
    assert certify(certified) == 0
    assert "computing anew" in capsys.readouterr().err
    assert len(read_results(target)[0]) == 1000


@pytest.mark.parametrize(
    ("options", "index"),
    [
        (("--limit", 5), [0, 1, 2, 3, 4]),
        (("--indices", "3,17,42"), [3, 17, 42]),
        (("--indices", " 999 , 0"), [999, 0]),
        (("--indices", "7"), [7]),
    ],
)
def test_selections_write_nothing(tiny_model, certified, capsys, options, index):
    whole, _ = read_results(results_path(certified))
    results_path(certified).unlink()
    facts = as_json(capsys, tiny_model, *options, "--per-image", "--batch", 2)
    assert [image["index"] for image in facts["images"]] == index
    assert facts["data"]["n"] == len(index)
    labels = synthetic("synthetic", "test").labels[index]
    assert [image["label"] for image in facts["images"]] == labels.tolist()
    for image in facts["images"]:
        assert image["predicted"] == whole.predicted[image["index"]]
        assert image["radius"] == pytest.approx(whole.radius[image["index"]], rel=1e-3, abs=1e-6)
        assert "logits" not in image
    assert {path.name for path in tiny_model.parent.iterdir()} == {"model.safetensors"}


def test_a_selection_leaves_the_results_file_alone(certified, capsys):
    before = results_path(certified).read_bytes()
    assert certify(certified, "--limit", 3, "--force") == 0
    assert certify(certified, "--indices", "1,2", "--force") == 0
    assert results_path(certified).read_bytes() == before
    assert "2 images" in capsys.readouterr().out


def test_all_record_numbers_are_still_a_selection(tiny_model):
    assert certify(tiny_model, "--indices", ",".join(map(str, range(1000))), "--batch", 1000) == 0
    assert not results_path(tiny_model).exists()


def error_of(capsys, *arguments: object) -> tuple[int, str]:
    """Exit code and message, the same as text and as JSON, and nothing else on stdout."""
    capsys.readouterr()
    code = certify(*arguments)
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert "Traceback" not in stderr
    assert certify(*arguments, "--json") == code
    out = capsys.readouterr().out
    error = json.loads(out)["error"]
    assert set(error) == {"code", "what", "where", "why", "next"}
    assert error["code"] == {2: "usage", 3: "data", 4: "checkpoint", 5: "check-failed"}[code]
    assert error["what"] in stderr
    return code, stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("eps", "said"),
    [
        ("36/0", "the denominator is zero"),
        ("-1/255", "a radius cannot be negative"),
        ("-0.5", "a radius cannot be negative"),
        ("4", "is it in pixel scale? then write 4/255"),
        ("36", "is it in pixel scale? then write 36/255"),
        ("abc", "not a fraction"),
        ("", "not a fraction"),
        ("36/255/2", "not a fraction"),
        ("nan", "not a fraction"),
        ("inf", "not a fraction"),
        ("1e-5000", "too many digits"),
        ("1e-999999999", "too many digits"),
        ("0." + "1" * 5000, "too many digits"),
    ],
)
def test_radii_that_cannot_be(tiny_model, capsys, eps, said):
    code, line = error_of(capsys, tiny_model, "--eps", eps)
    assert code == 2
    assert line.startswith(f"lipscope: --eps {eps[:40]}")
    assert said in line
    assert len(line) < 300


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--limit", "0"), "--limit"),
        (("--limit", "5", "--indices", "3"), "exclude each other"),
        (("--indices", "1,x"), "not a list of numbers"),
        (("--indices", ""), "not a list of numbers"),
        (("--indices", "1000"), "no record 1000"),
        (("--indices", "3,-1"), "no record -1"),
        (("--indices", "99999999999999999999"), "not a list of numbers"),
        (("--dataset", "imagenet"), "unknown data set 'imagenet'"),
        (("--device", "nonsense"), "--device nonsense"),
        (("--batch", "0"), "--batch"),
        (("--unheard",), "--unheard"),
    ],
)
def test_options_that_cannot_be(tiny_model, capsys, options, said):
    code, line = error_of(capsys, tiny_model, *options)
    assert code == 2
    assert said in line


def test_images_and_logits_are_for_json(tiny_model, capsys):
    for option in ("--per-image", "--logits"):
        assert certify(tiny_model, option) == 2
        assert "--json" in capsys.readouterr().err


def test_files_that_are_no_model(tiny_model, tmp_path, capsys):
    whole = tiny_model.read_bytes()
    cases = {
        "missing": (None, "no such file"),
        "empty": (b"", "the file is empty"),
        "short": (whole[:6], "the file is truncated"),
        "header cut": (whole[:100], "the file is truncated"),
        "truncated": (whole[:-1], "the file is truncated"),
        "longer": (whole + b"x", "1 bytes follow the last tensor"),
        "text": (b"hello, this is no tensor file at all", "not a safetensors file"),
        "pickle": (b"\x80\x02}q\x00." + bytes(50), "not a safetensors file"),
    }
    for name, (content, said) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        code, line = error_of(capsys, path)
        assert code == 4, name
        assert line.startswith(f"lipscope: {path}: "), name
        assert said in line, name
    code, line = error_of(capsys, tmp_path)
    assert code == 4
    assert "is a folder" in line


CHANGES = {
    "NaN": ({"tensors": spoiled(float("nan"))}, 4, "holds NaN or infinite values"),
    "infinite": ({"tensors": spoiled(float("-inf"), "head.bias")}, 4, "tensor head.bias holds NaN or infinite"),
    "wrong shape": ({"tensors": lambda t: t.update({"head.bias": t["head.bias"][:9].clone()})}, 4, "wrong shape"),
    "missing tensor": ({"tensors": lambda t: t.pop("head.bias")}, 4, "tensor head.bias is missing"),
    "more tensors": ({"tensors": lambda t: t.update(x=t["head.bias"].clone())}, 4, "unexpected tensor 'x'"),
    "half": ({"tensors": lambda t: t.update({"head.bias": t["head.bias"].half()})}, 4, "not float32"),
    "architecture": ({"config": {"architecture": "resnet"}}, 4, "unknown architecture 'resnet'"),
    "escapes": ({"config": {"architecture": "\x1b[31mred"}}, 4, r"unknown architecture '\x1b[31mred'"),
    "no architecture": ({"config": {"architecture": None}}, 4, "unknown architecture"),
    "schema": ({"metadata": {"lipscope.schema": "lipscope.checkpoint/99"}}, 4, "unknown checkpoint schema"),
    "config": ({"metadata": {"lipscope.config": "{"}}, 4, "lipscope.config is not JSON"),
    "odd channels": ({"config": {"channels": 3}}, 4, "channels must be even"),
    "huge": ({"config": {"channels": 4096, "blocks": 64}}, 4, "the configuration describes another model"),
    "text for a number": ({"config": {"std": "abc"}}, 4, "std"),
    "unknown key": ({"config": {"unheard": 1}}, 4, "unknown configuration key 'unheard'"),
    "no data set": ({"config": {"dataset": None}}, 2, "unknown data set"),
    "classes": ({"config": {"dataset": "synthetic100"}}, 3, "another number of classes"),
    "nothing proved": ({"tensors": scaled(1e30)}, 5, "refused: no proved Lipschitz constant"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_models_that_cannot_be_certified(tiny_model, capsys, name):
    change, code, said = CHANGES[name]
    found, line = error_of(capsys, alter(tiny_model, **change), "--limit", "3")
    assert (found, said in line) == (code, True), line
    assert line.isprintable()


def test_a_file_of_another_origin(tmp_path, capsys):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"w": np.eye(3, dtype=np.float32)}, path)
    code, line = error_of(capsys, path)
    assert code == 4
    assert "not a lipscope checkpoint" in line
    assert "lipscope inspect" in line


def test_no_data_set(tiny_model, capsys, tmp_path, no_data):
    alter(tiny_model, config={"dataset": "cifar10"})
    code, line = error_of(capsys, tiny_model, "--data-dir", tmp_path / "mine")
    assert code == 3
    for place in (tmp_path / "mine", no_data):
        assert str(place) in line
    assert "lipscope data fetch cifar10" in line


def test_results_that_cannot_be_kept_are_printed_all_the_same(tiny_model, capsys):
    target = results_path(tiny_model)
    target.mkdir()
    assert certify(tiny_model) == 1
    stdout, stderr = capsys.readouterr()
    assert f"{target}" in stderr
    assert "could not be kept" in stderr
    assert "Traceback" not in stderr
    assert "clean" in stdout
    assert [path.name for path in target.parent.iterdir() if path.name.startswith(".")] == []
    target.rmdir()
    with full_disk():
        assert certify(tiny_model, "--json") == 1
    stdout, stderr = capsys.readouterr()
    assert json.loads(stdout)["data"]["n"] == 1000
    assert "cannot be written" in stderr
    assert not target.exists()


def test_bare_it_takes_the_newest_run(certified, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, results = certified.read_bytes(), results_path(certified).read_bytes()
    for name, age in (("runs/old", 2000), ("runs/new", 1000), ("runs/older", 3000), ("checkpoints", 0)):
        path = tmp_path / name / "model.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        results_path(path).write_bytes(results)
        os.utime(path, (1e9 - age, 1e9 - age))
    assert certify("--eps", "36/255") == 0
    stdout, stderr = capsys.readouterr()
    assert "lipscope: model runs/new/model.safetensors\n" in stderr
    assert "model      runs/new/model.safetensors" in stdout


def test_bare_without_any_model(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, line = error_of(capsys)
    assert code == 2
    assert "runs/*/model.safetensors and checkpoints/*.safetensors" in line
    assert "lipscope train" in line


def in_a_terminal(arguments: list[str], environment: dict[str, str]) -> bytes:
    """What a process writes to stdout when stdout, stdin and stderr are a terminal each."""
    ours, theirs = pty.openpty()
    other, error = pty.openpty()
    process = subprocess.Popen(arguments, stdin=theirs, stdout=theirs, stderr=error, env=environment)
    os.close(theirs)
    os.close(error)
    pieces = []
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        pieces.append(piece)
    assert process.wait(60) == 0
    os.close(ours)
    os.close(other)
    return b"".join(pieces)


def test_stdout_is_the_same_in_a_terminal_and_in_a_pipe(certified):
    arguments = [sys.executable, "-m", "lipscope", "certify", str(certified), "--limit", "40"]
    environment = {**os.environ, "PYTHONUTF8": "1", "TERM": "xterm-256color"}
    piped = subprocess.run(arguments, capture_output=True, check=True, env=environment)
    assert piped.stdout.count(b"\n") > 10
    assert in_a_terminal(arguments, environment).replace(b"\r\n", b"\n") == piped.stdout
    assert b"\x1b" not in piped.stderr


def test_a_real_process_without_traceback(start, tmp_path):
    missing = tmp_path / "missing.safetensors"
    assert start("certify", missing, "--json").finish() == (
        4,
        json.dumps({"error": {"code": "checkpoint", "what": "no such file", "where": str(missing), "why": "",
                              "next": "check the path"}}) + "\n",
        f"lipscope: {missing}: no such file; check the path\n",
    )  # fmt: skip


def test_a_reader_that_leaves(certified):
    """`lipscope certify | head -1` ends without a traceback."""
    shell = f"{sys.executable} -m lipscope certify {certified} --json --per-image | head -c 10"
    ended = subprocess.run(
        shell, shell=True, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert ended.stdout == '{"schema":'
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


def test_a_model_of_that_name_is_never_overwritten(tiny_model, capsys):
    other = tiny_model.with_name("model.certified.safetensors")
    shutil.copy(tiny_model, other)
    assert certify(tiny_model) == 4
    told = capsys.readouterr()
    assert "clean" in told.out
    assert "is not a results file, and is not overwritten" in told.err
    assert other.read_bytes() == tiny_model.read_bytes()


def test_results_on_another_data_set_are_not_kept(tiny_model, capsys):
    alter(tiny_model, config={"dataset": "cifar10"})
    assert certify(tiny_model, "--dataset", "synthetic") == 0
    assert "not kept" in capsys.readouterr().err
    assert not tiny_model.with_name("model.certified.safetensors").exists()


def test_a_forged_results_file_is_computed_anew(tiny_model, capsys):
    assert certify(tiny_model, "--json") == 0
    honest = json.loads(capsys.readouterr().out)
    target = tiny_model.with_name("model.certified.safetensors")
    kept, facts = read_results(target)
    write_results(target, replace(kept, radius=kept.radius * 50, lipschitz=0.01), facts)
    assert certify(tiny_model, "--json") == 0
    assert json.loads(capsys.readouterr().out) == honest


def test_a_record_number_twice_is_refused(tiny_model, capsys):
    assert certify(tiny_model, "--indices", "3,3") == 2
    assert "twice" in capsys.readouterr().err
