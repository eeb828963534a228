import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_tuning.evaluation.scoring.meaning.sentences import split_sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            'Dr. Smith came at 3.5 p.m. He left. "Really?" Yes…',
            ["Dr. Smith came at 3.5 p.m.", "He left.", '"Really?"', "Yes…"],
        ),
        ("Am 3. Mai kommt z.B. Herr Müller. Danach geht er.", ["Am 3. Mai kommt z.B. Herr Müller.", "Danach geht er."]),
        ("p. ej. esto. ¿Luego? Fin", ["p. ej. esto.", "¿Luego?", "Fin"]),
        ("Puis M. Dupont arrive. Fin", ["Puis M. Dupont arrive.", "Fin"]),
        ("これは本です。「はい\uff01」と言った。終わり", ["これは本です。", "「はい\uff01」と言った。", "終わり"]),
        ("你好吗\uff1f我很好\uff01谢谢。", ["你好吗\uff1f", "我很好\uff01", "谢谢。"]),
        ("كيف حالك؟ أنا بخير. شكرا", ["كيف حالك؟", "أنا بخير.", "شكرا"]),
        ("यह है। वह है।", ["यह है।", "वह है।"]),
        ("J. K. Rowling wrote it. See https://a.example/b.c. Next", ["J. K. Rowling wrote it.", "See https://a.example/b.c.", "Next"]),
        ("# Steps\n1. Open it\n2. Close\nit again.\n\nDone", ["Steps", "Open it", "Close it again.", "Done"]),
        ("Run this:\n```py\nx = 1. Y\n```\nDone.", ["Run this:", "Done."]),
        ("a hard\nwrapped line. And\nanother", ["a hard wrapped line.", "And another"]),
        ("本当か\u3002\u3002\u300dと", ["本当か\u3002\u3002\u300dと"]),
        ("Wait... what? he said", ["Wait... what?", "he said"]),
        ("", []),
        ("... !!! 🙂", []),
    ],
)  # fmt: skip
def test_a_text_falls_into_its_sentences(text, sentences):
    assert split_sentences(text) == sentences


@given(st.text())
def test_sentences_have_words_and_hold_nothing_that_was_not_there(text):
    found = split_sentences(text)

    assert all(any(sign.isalnum() for sign in sentence) for sentence in found)
    assert sum(map(len, found)) <= len(text)
