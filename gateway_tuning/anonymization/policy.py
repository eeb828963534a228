"""What becomes of each kind of personal data. Part of a dataset's recipe, so its JSON is always the same. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gateway_tuning.anonymization.masking import NUMBER
from gateway_tuning.anonymization.mentions.values import fold_value
from gateway_tuning.anonymization.recognition import Span
from gateway_tuning.errors import ConfigurationError

CUSTOM = "CUSTOM"
"""The entity of a denied word that names none."""

_ENTITY = r"^[A-Z][A-Z0-9_]*$"


class Action(StrEnum):
    PLACEHOLDER = "placeholder"
    PSEUDONYM = "pseudonym"
    KEEP = "keep"
    DROP_RECORD = "drop_record"


class DeniedWord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(
        min_length=1, max_length=1000, description="Masked wherever it stands as words of its own"
    )
    entity: str = Field(CUSTOM, pattern=_ENTITY, description="What it is masked as")


def _as_denied(word: Any) -> Any:
    return {"text": word} if isinstance(word, str) else word


class AnonymizationPolicy(BaseModel):
    """What is done with each entity; words that are always or never masked; what counts as found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default_action: Action = Field(
        Action.PLACEHOLDER, description="For entities that `actions` does not name"
    )
    actions: dict[str, Action] = Field({}, description="By entity, as in PHONE_NUMBER")
    deny: tuple[Annotated[DeniedWord, BeforeValidator(_as_denied)], ...] = Field(
        (), description="Always masked, even as an entity that is kept: words, or words with their entity"
    )
    allow: tuple[str, ...] = Field(
        (), description="Never masked, in any case, where the whole of what was found is this"
    )
    numbers: Literal["keep", "mask"] = Field(
        "keep", description="Whether numbers that nothing else covers stay, or are masked as NUMBER"
    )
    score_threshold: float = Field(
        0.4, ge=0, le=1, description="Least score of what counts as found; a bare phone number has 0.4"
    )

    @field_validator("actions")
    @classmethod
    def _sort_actions(cls, actions: dict[str, Action]) -> dict[str, Action]:
        for entity in actions:
            if not re.match(_ENTITY, entity):
                raise ValueError(f"entity {entity!r}: use capitals, digits and _ as in PHONE_NUMBER")
        return dict(sorted(actions.items()))

    @field_validator("deny")
    @classmethod
    def _sort_deny(cls, deny: tuple[DeniedWord, ...]) -> tuple[DeniedWord, ...]:
        for word in deny:
            if not any(character.isalnum() for character in word.text):
                raise ValueError(f"deny {word.text!r}: give a word with a letter or a digit")
        return tuple(sorted(set(deny), key=lambda word: (word.text, word.entity)))

    @field_validator("allow")
    @classmethod
    def _sort_allow(cls, allow: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(allow)))

    @model_validator(mode="after")
    def _says_one_thing(self) -> "AnonymizationPolicy":
        allowed = {fold_value(value) for value in self.allow}
        for word in self.deny:
            if fold_value(word.text) in allowed:
                raise ValueError(f"{word.text!r} is denied and allowed; leave it in one list")
        if self.numbers == "mask" and self.actions.get(NUMBER) is Action.KEEP:
            raise ValueError(f"numbers are masked, and {NUMBER} is kept; drop one of the two")
        return self

    @property
    def own_entities(self) -> tuple[str, ...]:
        """Entities that need no model: those of denied words, and of numbers."""
        return tuple(sorted({word.entity for word in self.deny} | {NUMBER}))

    def action_for(self, entity: str) -> Action:
        """Of what a model finds. A denied word is masked even as an entity that is kept."""
        return self.actions.get(entity, self.default_action)

    def needs_pseudonyms(self) -> bool:
        return Action.PSEUDONYM in (self.default_action, *self.actions.values())


def parse_policy(text: str | bytes, *, name: str) -> AnonymizationPolicy:
    """Read a policy from JSON.

    Raises:
        ConfigurationError: it is no JSON or no policy; the message names `name` and the field.
    """
    from pydantic import ValidationError

    try:
        return AnonymizationPolicy.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "policy"
        raise ConfigurationError(f"{name}: {where}: {first['msg']}") from None


def check_entities(policy: AnonymizationPolicy, known: Iterable[str]) -> None:
    """Raises ConfigurationError: the policy names an entity that nothing looks for, and would do nothing."""
    names = {*known, *policy.own_entities}
    unknown = sorted(set(policy.actions) - names)
    if unknown:
        raise ConfigurationError(
            f"The policy has an action for {', '.join(unknown)}, which nothing looks for; "
            f"known are {', '.join(sorted(names))}"
        )


def find_denied(text: str, deny: tuple[DeniedWord, ...]) -> Iterator[Span]:
    """Each denied word as words of its own, in any case and spacing, with score 1."""
    for word in deny:
        for found in _pattern_of(word.text).finditer(text):
            yield Span(found.start(), found.end(), word.entity, 1.0)


@lru_cache(maxsize=10_000)
def _pattern_of(text: str) -> re.Pattern[str]:
    spellings = {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}
    anyone = "|".join(sorted(r"\s+".join(map(re.escape, spelling.split())) for spelling in spellings))
    return re.compile(rf"(?<!\w)(?:{anyone})(?!\w)", re.IGNORECASE)
