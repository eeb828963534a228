"""Thresholds of everything that keeps an example out of training. Part of the recipe."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class QualityPolicy(BaseModel):
    """Defaults let ordinary help-desk and question-answer texts pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_prompt_characters: int = Field(
        1, ge=0, description="Characters of the prompt, white space at its ends apart"
    )
    max_prompt_characters: int = Field(50_000, ge=1, description="Characters of the prompt")
    min_prompt_words: int = Field(
        1, ge=0, description="Words of the prompt; a Chinese or Thai character is one"
    )
    max_prompt_words: int = Field(8_000, ge=1, description="Words of the prompt")
    min_answer_characters: int = Field(
        1, ge=0, description="Characters of the answer, white space at its ends apart"
    )
    max_answer_characters: int = Field(50_000, ge=1, description="Characters of the answer")
    min_answer_words: int = Field(
        1, ge=0, description="Words of the answer; a Chinese or Thai character is one"
    )
    max_answer_words: int = Field(8_000, ge=1, description="Words of the answer")
    languages: tuple[str, ...] | None = Field(
        None, description="ISO 639-1 codes that prompt and answer may have; all when empty. Unknown passes"
    )
    refusals: bool = Field(
        True,
        description="Leave out demonstrations and chosen answers that decline; a human's correction stays",
    )
    max_damaged_characters: int = Field(
        0,
        ge=0,
        description="Traces of a wrong decoding that a text may have: mojibake, U+FFFD, control characters",
    )
    injections: bool = Field(
        True,
        description="Leave out texts that give orders to a model: role tags, 'ignore previous instructions'",
    )
    max_hidden_characters: int = Field(
        3, ge=0, description="Zero-width characters a text may have, as pages and editors leave some behind"
    )
    max_repeated_lines: float = Field(
        0.5, ge=0, le=1, description="Share of an answer's lines of words that stand in it before"
    )
    max_repeated_ngrams: float = Field(
        0.5, ge=0, le=1, description="Share of an answer's word 4-grams that stand in it before"
    )
    min_words_to_repeat: int = Field(20, ge=5, description="Shorter answers are not looked at for repetition")
    near_duplicate_threshold: float = Field(
        0.7, gt=0, le=1, description="Jaccard index of word 3-grams from which texts are near-duplicates"
    )
    contamination_similarity: float = Field(
        0.7, gt=0, le=1, description="Jaccard index of word 3-grams from which a text is an evaluation set's"
    )
    contamination_overlap: float = Field(
        0.2,
        gt=0,
        le=1,
        description="Share of an evaluation text's n-grams that an example may hold less than",
    )
    max_label_ratio: float = Field(
        4.0, ge=1, description="Most labelled answers of the larger class for each of the smaller"
    )
    min_label_count: int = Field(
        1_000, ge=0, description="Labelled answers of the larger class that balancing leaves in any case"
    )

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> "QualityPolicy":
        for part in ("prompt", "answer"):
            for unit in ("characters", "words"):
                least, most = getattr(self, f"min_{part}_{unit}"), getattr(self, f"max_{part}_{unit}")
                if least > most:
                    raise ValueError(
                        f"min_{part}_{unit} {least} is above max_{part}_{unit} {most}, so nothing passes; lower it"
                    )
        return self
