"""What a row says in each form: one question, two answers, the images of both, and what else there is to the pair."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmedpo.data import TableRow, show_value
from mmedpo_plugins.readers.pairs.conversations import MARK, Conversation, join_conversations, read_conversation
from mmedpo_plugins.readers.pairs.export_facts import PairFacts, read_facts
from mmedpo_plugins.readers.pairs.image_columns import name_images
from mmedpo_plugins.readers.pairs.noise_film import FLAGS, NoiseFilm, read_flag

_JSON = ("evidence", "notes", "case_notes")  # columns of the plain table that hold JSON
_OURS = {"weight", "id", "restricted"}  # read in every form
_TABLE = {"question", "chosen", "rejected", "relevance"}
_TABLE |= {f"{side}{name}" for side in ("", "chosen_", "rejected_") for name in ("image", "images")}
_FACTS = set(PairFacts.model_fields) - {"image", "images"}
# What a row may hold that would change what is asked or answered, and that a pair has no room for.
_NO_ROOM = [f"{side}{name}" for name in ("videos", "audios", "objects", "tools") for side in ("", "rejected_")]
_NO_ROOM += ["video", "audio", "history"]


Images = Sequence[Any]  # each a name, an image within the row, or the noise that stands for a film


@dataclass(frozen=True)
class PairRow:
    """A row, whatever its form."""

    question: str
    chosen: str
    rejected: str | None  # None: the row has none
    images: tuple[Images, Images]  # of the chosen and the rejected side
    relevance: str = "relevance"  # the column that holds it
    facts: PairFacts = field(default_factory=PairFacts)
    remarks: tuple[str, ...] = ()

    @property
    def same_images(self) -> bool:
        """Tell whether both sides have the same images."""
        return bool(self.images[0] == self.images[1])


def read_row(row: TableRow) -> PairRow:
    """Return what a row says. Raises DataError with its place when it is in no form that is known."""
    row = name_images(row)
    for wanted, read in _FORMS.items():
        if wanted <= row.values.keys():
            return read(row)
    raise row.wrong(f"is no pair in a form that is known; it has the columns {', '.join(sorted(row.values))}")


def _read_trl(row: TableRow) -> PairRow:
    names = [name for name in ("images", "image") if row.values.get(name) is not None]
    if len(names) != 1:
        raise row.wrong("must hold its image in 'images' or in 'image'")
    images = _read_images(row, names[0])
    asked = [read_conversation(row, "prompt", row.values["prompt"], "question")] if row.values.get("prompt") else []
    chosen, rejected = (read_conversation(row, key, row.values[key], "answer") for key in ("chosen", "rejected"))
    if asked and asked[0].answer is not None:
        raise row.wrong("'prompt' ends with the beginning of an answer (a prefill), which has no place in a pair")
    if not asked and chosen.question is None and rejected.question is None:
        raise row.wrong("has no 'prompt', and no question in 'chosen'")
    told = join_conversations(row, asked, chosen, rejected)
    return _make_row(row, told, (images, images), {"prompt", "chosen", "rejected", *names}, mark="")


def _read_ms_swift(row: TableRow) -> PairRow:
    first = _read_exchange(row, "messages")
    images = _read_images(row, "images")
    others = _read_images(row, "rejected_images") if row.values.get("rejected_images") else images
    second = _read_rejected(row) or (None if others == images else Conversation(answer=first.answer))
    told = join_conversations(
        row, [Conversation(system=row.get("system") or None)], first, second or Conversation(answer=first.answer)
    )
    read = {"messages", "rejected_messages", "rejected_response", "images", "rejected_images", "system"}
    return _make_row(row, told, (images, others), read, mark=MARK, rejected=second is not None)


def _read_rejected(row: TableRow) -> Conversation | None:
    """Return what ms-swift rejects, from whichever of its two columns there is."""
    value = row.values.get("rejected_response")
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        if len(value) > 1:
            raise row.wrong(f"'rejected_response' holds {len(value)} answers; a pair has one, so write a row for each")
        value = value[0]
    found = [] if value is None else [read_conversation(row, "rejected_response", value, "answer")]
    if found and found[0].question is not None:
        raise row.wrong("'rejected_response' holds a question; it must hold an answer alone")
    if row.values.get("rejected_messages"):
        found.append(_read_exchange(row, "rejected_messages"))
    if len({talk.answer for talk in found}) > 1:
        raise row.wrong("'rejected_response' and 'rejected_messages' hold different answers; a pair has one")
    return found[-1] if found else None


def _read_llama_factory(row: TableRow) -> PairRow:
    images = _read_images(row, "images")
    asked = read_conversation(row, "conversations", row.values["conversations"], "question")
    if asked.question is None or asked.answer is not None:
        raise row.wrong("'conversations' must end with the question, which 'chosen' and 'rejected' answer")
    chosen, rejected = (read_conversation(row, key, row.values[key], "answer") for key in ("chosen", "rejected"))
    told = join_conversations(row, [asked, Conversation(system=row.get("system") or None)], chosen, rejected)
    read = {"conversations", "chosen", "rejected", "images", "system"}
    return _make_row(row, told, (images, images), read, mark=MARK)


def read_mmedpo_row(row: TableRow) -> PairRow:
    """Return what an entry in the form of MMedPO's released pairs says."""
    told = join_conversations(
        row, [], _read_exchange(row, "conversations"), _read_exchange(row, "rejected_conversations")
    )
    question, *answers, system = told
    first, second = (answer.removeprefix(" ") for answer in answers)
    name, flag = row.text("image"), read_flag(row)
    noise = NoiseFilm(name)
    chosen = noise if flag == "chosen_noised" else name
    images = ([chosen], [noise if flag else row.get("rejected_image") or name])
    read = {"conversations", "rejected_conversations", "image", "rejected_image", "weighted_score", *FLAGS}
    told = question, first, second, system
    made = _make_row(row, told, images, read, mark=f"{MARK}\n", relevance="weighted_score")
    return _tell_noise(made, name, flag) if flag else made


def _tell_noise(made: PairRow, name: str, flag: str) -> PairRow:
    """Say that a side is shown noise; the case is about its film all the same."""
    remark = f"{flag}: noise in place of the film on {'both sides' if flag == 'chosen_noised' else 'the rejected side'}"
    facts = made.facts.model_copy(update={"image": name, "group": made.facts.group or name})
    return replace(made, facts=facts, remarks=(*made.remarks, remark))


def _read_table(row: TableRow) -> PairRow:
    shown = _read_table_images(row, "", [])
    first, second = (_read_table_images(row, f"{side}_", shown) for side in ("chosen", "rejected"))
    ours = row.values.get("case_kind") is not None
    values = {key: value for key, value in row.values.items() if key in _FACTS and value is not None} if ours else {}
    values |= {key: _read_json(row, key) for key in _JSON if isinstance(values.get(key), str)}
    if first != shown:
        values["images"] = shown
    facts = read_facts(row, values)
    question, chosen, rejected = (_read_text(row, key) for key in ("question", "chosen", "rejected"))
    if not question.strip():
        raise row.wrong("the question is empty")
    remarks = _note_unread(row, _TABLE | (_FACTS if ours else set()))
    return PairRow(question, chosen, rejected, (first, second), facts=facts, remarks=remarks)


_FORMS: Mapping[frozenset[str], Callable[[TableRow], PairRow]] = {
    frozenset({"prompt", "chosen", "rejected"}): _read_trl,
    frozenset({"messages"}): _read_ms_swift,
    frozenset({"conversations", "chosen", "rejected"}): _read_llama_factory,
    frozenset({"conversations", "rejected_conversations"}): read_mmedpo_row,
    frozenset({"question", "image", "chosen", "rejected"}): _read_table,
    frozenset({"chosen", "rejected"}): _read_trl,  # the question is the first turn of both
}


def _make_row(
    row: TableRow,
    told: tuple[str, str, str, str],
    images: tuple[Images, Images],
    read: Collection[str],
    *,
    mark: str,
    relevance: str = "relevance",
    rejected: bool = True,
) -> PairRow:
    """Take the marks of the images off the question; texts that we did not write lose the space around them too."""
    question, first, second, system = told
    ours = row.values.get("mmedpo")
    facts = read_facts(row, _read_json(row, "mmedpo"), "mmedpo") if ours else PairFacts()
    remarks = _note_unread(row, {*read, relevance, "mmedpo"})
    if system.strip():
        remarks += ("its system turn is left out",)
    if ours and question.startswith(before := mark * len(images[0])):
        question = question.removeprefix(before)
    else:
        question, moved = _remove_marks(row, question, len(images[0]))
        remarks += ("the image stood within or behind the question, and is shown before it",) if moved else ()
        first, second = first.strip(), second.strip()
    if not question.strip():
        raise row.wrong("the question is empty")
    return PairRow(question, first, second if rejected else None, images, relevance, facts, remarks)


def _remove_marks(row: TableRow, question: str, count: int) -> tuple[str, bool]:
    """Return a question without the marks of its images, and whether one stood elsewhere than before it."""
    *before, last = question.split(MARK)
    if before and len(before) != count:
        raise row.wrong(f"the question names {len(before)} images, and a side has {count}")
    return "".join([*before, last]).strip(), bool("".join(before).strip())


def _note_unread(row: TableRow, read: Collection[str]) -> tuple[str, ...]:
    """Say which columns are not read. Raises DataError for those that the pair would be another without."""
    there = {name for name, value in row.values.items() if value not in (None, "", [], {})}
    if unfit := [name for name in _NO_ROOM if name in there and name not in read]:
        raise row.wrong(f"has {', '.join(unfit)}, which has no place in a pair")
    unread = sorted(there - set(read) - _OURS)
    return (f"columns that are not read: {', '.join(unread)}",) if unread else ()


def _read_exchange(row: TableRow, key: str) -> Conversation:
    """Return a conversation of one question and its answer."""
    value = row.values.get(key)
    if not isinstance(value, list):
        raise row.wrong(f"{key!r} must be a list of turns, not {show_value(value)}")
    talk = read_conversation(row, key, value, "answer")
    if talk.question is None or talk.answer is None:
        raise row.wrong(f"{key!r} must hold one question and one answer, not {len(value)} turns")
    return talk


def _read_text(row: TableRow, key: str) -> str:
    value = row.values.get(key)
    if not isinstance(value, str):
        raise row.wrong(f"{key!r} must be a text, not {show_value(value)}")
    return value


def _read_images(row: TableRow, key: str) -> list[Any]:
    value = row.values.get(key)
    images = value if isinstance(value, list) else [value]
    if not images or None in images:
        raise row.wrong(f"{key!r} must hold an image or several, not {show_value(value)}")
    return images


def _read_table_images(row: TableRow, side: str, shown: list[Any]) -> list[Any]:
    """Return the images that a table has for a side, where it has others than those `shown`."""
    key = next((key for key in (f"{side}images", f"{side}image") if row.values.get(key)), f"{side}image")
    return shown if shown and not row.values.get(key) else _read_images(row, key)


def _read_json(row: TableRow, key: str) -> Mapping[str, Any]:
    """Return the object that a column holds as JSON."""
    value = row.json(key)
    if not isinstance(value, Mapping):
        raise row.wrong(f"{key!r} must be a JSON object, not {show_value(value)}")
    return value
