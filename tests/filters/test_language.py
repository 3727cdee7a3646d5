from pathlib import Path

import pyarrow as pa
import pytest

from filters import language
from filters.language import Language, detect
from manifests.errors import ConfigError
from manifests.fingerprint import fingerprint

SAMPLES = {
    "en": "The committee agreed that the results of the experiment should be published.",
    "de": "Der Ausschuss war sich einig, dass die Ergebnisse veröffentlicht werden sollten.",
    "fr": "Le comité a convenu que les résultats de l'expérience devaient être publiés.",
    "es": "El comité acordó que los resultados del experimento debían publicarse.",
    "pt": "O comitê concordou que os resultados da experiência deveriam ser publicados.",
    "it": "Il comitato ha convenuto che i risultati dell'esperimento dovessero essere pubblicati.",
    "hi": "समिति ने सहमति व्यक्त की कि प्रयोग के परिणाम प्रकाशित किए जाने चाहिए।",
    "ja": "委員会は実験の結果を公表すべきであることに同意した。",
}


def rows(texts: list[str | None], langs: list[str | None]) -> pa.RecordBatch:
    schema = pa.schema({"text": pa.string(), "lang": pa.string()})
    return pa.record_batch([pa.array(texts), pa.array(langs, pa.string())], schema=schema)


def test_the_languages_of_the_report_are_told_apart() -> None:
    codes, confidence = detect(rows(list(SAMPLES.values()), [None] * len(SAMPLES)))
    assert codes.to_pylist() == list(SAMPLES)
    assert min(confidence.to_pylist()) > 0.65


def test_nothing_to_read_is_undetermined() -> None:
    codes, confidence = detect(rows(["", None, " \n "], [None] * 3))
    assert codes.to_pylist() == ["und"] * 3
    assert confidence.to_pylist() == [0, 0, 0]


def test_a_score_is_the_probability_of_the_expected_language() -> None:
    batch = rows([SAMPLES["de"]] * 4, ["de", "en", "und", None])
    own, english, any_one, unsaid = Language()(batch).to_pylist()
    assert own > 0.9
    assert english < 0.1
    assert any_one == unsaid == own
    assert Language(expected="de")(batch).to_pylist() == [own] * 4


def test_long_texts_are_read_at_head_middle_and_tail() -> None:
    long = "\n".join([SAMPLES["fr"]] * 500)
    codes, confidence = detect(rows([long], [None]))
    assert codes.to_pylist() == ["fr"]
    assert confidence.to_pylist()[0] > 0.9
    mixed = SAMPLES["de"] * 3 + SAMPLES["fr"] * 1000 + SAMPLES["de"] * 6
    assert detect(rows([mixed], [None]))[0].to_pylist() == ["de"]


def test_another_model_is_another_filter() -> None:
    assert fingerprint(Language()) != fingerprint(Language(model="0" * 64))


def test_a_missing_model_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCRIPTORIUM_LID_MODEL", str(tmp_path / "none.ftz"))
    with pytest.raises(ConfigError, match="run: make setup"):
        detect(rows(["text"], ["en"]))


def test_a_model_of_other_bytes_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "other.ftz"
    other.write_bytes(language.model_path().read_bytes()[:-1])
    monkeypatch.setenv("SCRIPTORIUM_LID_MODEL", str(other))
    with pytest.raises(ConfigError, match="expected 8f3472cf"):
        Language()(rows(["text"], ["en"]))
