import json

import pytest
import yaml

from vprlib.config import check_repeated_keys

TWICE = {
    "a section at the top": ("runs: {}\nseeds: [0]\nruns: {}\n", "the key runs", "lines 1 and 3"),
    "a section of a run": ("runs:\n  a:\n    train: {epochs: 1}\n    train: {}\n", "runs.a.train", "lines 3 and 4"),
    "a key of a flow mapping": ("base: {image: {width: 1, height: 2, width: 3}}\n", "base.image.width"),
    "a key of a list's entry": ("rerank:\n  - {name: a, name: b}\n", "rerank.name"),
    "with and without quotes": ("a: 1\n'a': 2\n", "the key a"),
    "inside an anchor": ("one: &x {k: 1, k: 2}\ntwo: *x\n", "one.k"),
    "in JSON, with tabs": ('{"runs": {"a": {},\n\t"a": {}}}', "'a'"),
}


@pytest.mark.parametrize(("text", "words"), [(text, words) for text, *words in TWICE.values()], ids=list(TWICE))
def test_a_key_that_stands_twice_is_refused_with_its_place(text, words, tmp_path, refused):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with refused(path, "twice", *words):
        check_repeated_keys([path], yaml.compose)


ONCE = {
    "names in different mappings": "runs: {a: {train: {}}, b: {train: {}}}\n",
    "merges": "x: &x {a: 1}\ny: &y {b: 1}\nz: {<<: *x, <<: *y, a: 2}\n",
    "a number and a word": "1: a\n'1': b\n",
    "nothing": "",
    "JSON": json.dumps({"a": [{"b": 1}, {"b": 2}]}),
    "aliases of aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "neither YAML nor JSON": "a: [",
}


@pytest.mark.parametrize("text", ONCE.values(), ids=list(ONCE))
def test_what_stands_once_is_accepted(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    check_repeated_keys([path], yaml.compose)
