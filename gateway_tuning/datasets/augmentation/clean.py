"""Whether a text that a model wrote holds personal data. What cannot be analysed does."""

from collections.abc import Callable, Sequence

from gateway_tuning.anonymization.anonymizer import Anonymizer
from gateway_tuning.anonymization.masking import AnonymizedRecord

_FIELD = "prompt"


def clean_by(anonymizer: Anonymizer) -> Callable[[Sequence[str]], list[bool]]:
    """Clean is what the dataset's own anonymizer leaves as it is. Placeholders and its pseudonyms stay."""

    def is_clean(texts: Sequence[str]) -> list[bool]:
        results = anonymizer.anonymize([{_FIELD: text} for text in texts])
        return [
            isinstance(result, AnonymizedRecord) and result.fields[_FIELD] == text
            for result, text in zip(results, texts, strict=True)
        ]

    return is_clean
