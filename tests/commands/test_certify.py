from __future__ import annotations

import csv
import json
import os
import pty
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from lipscope.data.synthetic import synthetic
from lipscope.files.checkpoint import sha256_of
from lipscope.files.results import read_results, results_path, write_results
from tests.commands.certifying import as_json, beside, certify, error_of, kept
from tests.models_on_disk import alter
from tests.waiting import GENEROUS

pytestmark = pytest.mark.usefixtures("no_data")


def test_the_json_object(tiny_model, capsys):
    facts = as_json(capsys, tiny_model)
    assert facts["schema"] == "lipscope.certify/2"
    assert facts["model"] == {
        "path": str(tiny_model), "sha256": sha256_of(tiny_model), "architecture": "lipconvnet",
    }  # fmt: skip
    assert (facts["data"]["name"], facts["data"]["split"], facts["data"]["n"]) == ("synthetic", "test", 1000)
    assert facts["data"]["fingerprint"] == synthetic("synthetic", "test").fingerprint()
    assert facts["lipschitz"]["proved"] is True
    assert facts["lipschitz"]["value"] >= 1 / 0.2507
    assert (facts["standing"], facts["proved"], facts["evaluation"]) == ("proved", True, "float64")
    assert facts["budget"]["proved"] is True
    assert 0 < facts["budget"]["margin"] < 1e-6
    assert set(facts["clean"]) == {"count", "rate", "interval"}
    assert [row["eps"] for row in facts["certified"]] == ["36/255", "72/255", "108/255", "255/255"]
    assert all(set(row) == {"eps", "count", "rate", "interval"} for row in facts["certified"])
    assert facts["data"]["labelled"] is True
    assert isinstance(facts["average_certified_radius"], float)
    assert facts["environment"]["dtype"] == "float64"
    assert set(facts["environment"]["fp32_precision"].values()) == {"ieee"}
    assert "images" not in facts


def test_every_figure_follows_from_the_images(tiny_model, capsys):
    facts = as_json(capsys, tiny_model, "--per-image", "--logits", "--eps", "5/255", "--eps", "0", "--eps", "0.1")
    images, n = facts["images"], 1000
    labels = synthetic("synthetic", "test").labels
    assert [image["index"] for image in images] == list(range(n))
    assert [image["label"] for image in images] == labels.tolist()
    right = [image for image in images if image["label"] == image["predicted"]]
    assert (facts["clean"]["count"], facts["clean"]["rate"]) == (len(right), len(right) / n)
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
        assert min(quotients.values()) - 1e-8 < image["radius"] < min(quotients.values())


def test_the_table_says_the_same(certified, capsys):
    facts = as_json(capsys, certified, "--eps", "7/255", "--eps", "36/255")
    assert certify(certified, "--eps", "7/255", "--eps", "36/255") == 0
    text = capsys.readouterr().out
    line = r"^(clean|certified @ (\S+)) +([\d.]+)% +(\d+)  \[ *([\d.]+)%, +([\d.]+)%\]$"
    rows = re.findall(line, text, re.MULTILINE)
    expected = [("clean", "", facts["clean"])]
    expected += [(f"certified @ {row['eps']}", row["eps"], row) for row in facts["certified"]]
    assert [(name, eps, int(count)) for name, eps, _, count, _, _ in rows] == [
        (name, eps, figures["count"]) for name, eps, figures in expected
    ]
    for (_, _, percent, _, low, high), (_, _, figures) in zip(rows, expected, strict=True):
        assert percent == f"{figures['rate'] * 100:.2f}"
        assert [low, high] == [f"{end * 100:.2f}" for end in figures["interval"]]
    assert facts["model"]["sha256"][:12] in text
    printed = float(re.search(r"^L +(\S+), as kept", text, re.MULTILINE)[1])
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fast", "--min-certified", "0@0"), "--min-certified needs proved radii"),
        (("--fast", "--sound"), "--fast and --sound exclude each other"),
        (("--keep", "x", "--no-keep"), "--keep and --no-keep exclude each other"),
    ],
)
def test_estimates_pass_no_gate(tiny_model, capsys, options, said):
    code, line = error_of(capsys, tiny_model, *options)
    assert (code, said in line) == (2, True)


def test_estimates_are_called_so_and_not_kept(tiny_model, capsys):
    facts = as_json(capsys, tiny_model, "--fast", "--per-image")
    assert (facts["standing"], facts["proved"], facts["evaluation"]) == ("estimate", False, "float32")
    assert facts["lipschitz"]["proved"] is True
    assert "estimated_radius" in facts["images"][0]
    assert beside(tiny_model) == {"model.safetensors"}
    assert certify(tiny_model, "--fast") == 0
    printed = capsys.readouterr()
    assert "estimates: float32, rounding errors not subtracted" in printed.out
    assert re.search(r"estimated @ 36/255 +\d", printed.out)
    assert "certified" not in printed.out
    assert "kept" not in printed.err


def test_the_old_option_for_what_is_the_default_now(tiny_model, capsys):
    plain = as_json(capsys, tiny_model, "--limit", 5)
    assert as_json(capsys, tiny_model, "--limit", 5, "--sound") == plain
    assert certify("--help") == 0
    assert "--sound" not in capsys.readouterr().out


def test_images_and_logits_are_for_json(tiny_model, capsys):
    for option in ("--per-image", "--logits"):
        assert certify(tiny_model, option) == 2
        assert "--json" in capsys.readouterr().err


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
    assert process.wait(GENEROUS) == 0
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


def test_a_record_number_twice_is_refused(tiny_model, capsys):
    assert certify(tiny_model, "--indices", "3,3") == 2
    assert "twice" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["beside", "stdout"])
def test_one_row_an_image(certified, capsys, tmp_path, place):
    file = tmp_path / "radii.csv"
    before = kept(certified)
    assert certify(certified, "--csv", file if place == "beside" else "-") == 0
    out, err = capsys.readouterr()
    if place == "beside":
        assert "clean" in out
        assert f"1,000 rows in {file}" in err
    content = file.read_text() if place == "beside" else out
    found = read_results(results_path(certified))
    rows = list(csv.DictReader(content.splitlines()))
    for name in ("index", "label", "predicted", "runner_up"):
        assert [int(row[name]) for row in rows] == getattr(found, name).tolist()
    for name in ("radius", "margin"):
        assert [float(row[name]) for row in rows] == getattr(found, name).tolist()
    assert rows[0]["label_name"] == f"pattern {rows[0]['label']}"
    assert kept(certified) == before


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors", "model.certified.safetensors", "model.certified.json", "no/x.csv",
        "here/../model.safetensors", "link.csv", "loop/model.certified.json",
    ],
)  # fmt: skip
def test_rows_never_take_the_place_of_a_model(certified, capsys, name):
    (certified.parent / "here").mkdir()
    (certified.parent / "link.csv").symlink_to(certified)
    (certified.parent / "loop").symlink_to(certified.parent)
    before = certified.read_bytes(), kept(certified)
    code, line = error_of(capsys, certified, "--csv", certified.parent / name)
    assert (code, line.startswith(f"lipscope: --csv {certified.parent / name}: ")) == (2, True)
    assert (certified.read_bytes(), kept(certified)) == before


def test_a_gate_is_met_or_not_by_the_exact_count(certified, capsys):
    facts = as_json(capsys, certified, "--eps", "5/255")
    count = facts["certified"][0]["count"]
    exact = f"{count}/1000@5/255"
    met = as_json(capsys, certified, "--min-certified", exact, "--min-certified", "0@0")
    assert met["min_certified"] == [
        {"eps": "5/255", "required": str(Fraction(count, 1000)), "count": count, "met": True, "missing": 0},
        {"eps": "0/255", "required": "0", "count": as_json(capsys, certified, "--eps", "0")["certified"][0]["count"],
         "met": True, "missing": 0},
    ]  # fmt: skip
    just_above = f"0.{count:03d}0000000000001@5/255"
    missed = as_json(capsys, certified, "--min-certified", "0@0", "--min-certified", just_above, code=5)
    assert [(row["met"], row["missing"]) for row in missed["min_certified"]] == [(True, 0), (False, 1)]
    assert certify(certified, "--min-certified", f"{count + 20}/1000@5/255") == 5
    out, err = capsys.readouterr()
    assert "clean" in out
    assert f"is {count} of 1000, 2 points below the {(count + 20) / 10:g}% asked for: 20 more images needed" in err


@pytest.mark.parametrize(
    "given", ["0.6", "0.6@", "@36/255", "1.1@36/255", "-0.1@0", "x@0", "1/0@0", "1e-999@0", "0.5@7"]
)
def test_gates_that_cannot_be(certified, capsys, given):
    assert error_of(capsys, certified, "--min-certified", given)[0] == 2


@pytest.fixture
def three(certified, tmp_path):
    """Three models, two with a class that is predicted too often, and one that is none."""
    found = read_results(results_path(certified))
    paths = []
    for name, shift in (("b", 1), ("a", 0), ("c", 2)):
        path = tmp_path / name / "model.safetensors"
        path.parent.mkdir()
        path.write_bytes(certified.read_bytes())
        if shift:
            alter(path, tensors=lambda tensors, shift=shift: tensors["head.bias"][0].add_(shift * 1.0))
        else:
            write_results(results_path(path), found, {})
        paths.append(path)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nonsense")
    return [*paths[:1], broken, *paths[1:]]


def test_a_set_is_one_table_sorted_and_a_failure_hides_nobody(three, capsys):
    whole = [path for path in three if path.name != "broken.safetensors"]
    assert certify(*whole) == 0
    alone = {str(path): as_json(capsys, path, "--eps", "3/255") for path in whole}
    found = as_json(capsys, *three, "--eps", "3/255", code=4)
    assert (found["schema"], found["sorted_by"]) == ("lipscope.certify-set/2", "3/255")
    *models, last = found["models"]
    assert {model["model"]["path"]: model for model in models} == alone
    rates = [model["certified"][0]["count"] for model in models]
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) > 1
    assert last["model"] == {"path": str(three[1])}
    assert last["error"]["code"] == "checkpoint"
    assert certify(*three, "--eps", "3/255") == 4
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()[1:5]] == [
        *(model["model"]["path"] for model in models), str(three[1]),
    ]  # fmt: skip
    assert f"{models[0]['certified'][0]['rate']:.2%}" in out.splitlines()[1]
    assert str(three[1]) in err
    assert certify(three[0], three[2]) == 0
    assert certify(three[0], three[2], "--min-certified", "1@0") == 5
    assert certify(three[1], three[0], "--min-certified", "1@0") == 5


@pytest.mark.parametrize("option", [("--csv", "x.csv"), ("--json", "--per-image")])
def test_rows_are_for_one_model(three, capsys, option):
    assert certify(*three, *option) == 2
    assert "takes one model" in capsys.readouterr().err


def test_rows_and_json_do_not_share_stdout(certified, capsys):
    assert certify(certified, "--csv", "-", "--json") == 2
    assert "both want stdout" in capsys.readouterr().err
