"""Commands about models: ask one, merge an adapter into one, convert either."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmedpo.cli.command import Json, RunFolder, print_json, resolve_new_folder, resolve_place


class Dtype(StrEnum):
    """What the numbers of a written model are."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


AdapterBase = Annotated[
    str | None,
    typer.Option("--base", metavar="CHECKPOINT", help="The model that an adapter belongs to.", callback=resolve_place),
]
BackboneName = Annotated[str, typer.Option("--backbone", help="The backbone part that reads the checkpoint.")]
WrittenDtype = Annotated[Dtype, typer.Option("--dtype", help="What its numbers are; auto: as the base is stored.")]


def ask(
    run: RunFolder,
    image: Annotated[Path, typer.Argument(help="An image file.", callback=resolve_place)],
    question: Annotated[str, typer.Argument(help="A question about it.")],
    more: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="PATH", help="A further image; may be repeated.", callback=resolve_place),
    ] = None,
    json: Json = False,
) -> None:
    """Show the answers to a question before and after alignment."""
    from mmedpo.cli.ask import ask_models
    from mmedpo.core.notes import printable_lines

    answers = ask_models(run, [image, *map(Path, more or [])], question)
    if json:
        print_json(answers)
    else:
        for name, answer in answers.items():
            print(printable_lines(f"{name + ':':8}{answer}{' ... (cut off)' if answer.cut else ''}"))


def merge(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run folder; or an adapter, PEFT's or LLaVA's.", callback=resolve_place),
    ],
    out: Annotated[Path, typer.Argument(help="A new folder.", callback=resolve_new_folder)],
    base: AdapterBase = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="The backbone part that reads --base; llava-med.")
    ] = None,
    dtype: WrittenDtype = Dtype.AUTO,
) -> None:
    """Write the aligned model, with its adapter merged, in the plain transformers form."""
    from mmedpo.errors import RecipeError
    from mmedpo.exchange.model_export import merge_adapter, merge_run, refuse_adapter

    if base is not None:
        merge_adapter(backbone or "llava-med", base, run, out, dtype)
    elif backbone is not None:
        raise RecipeError("--backbone: reads the checkpoint of --base; a run's folder says which backbone it has")
    else:
        refuse_adapter(run)
        merge_run(run, out, dtype)
    print(f"{out}: the merged model")


def convert(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A folder or hub id, e.g. microsoft/llava-med-v1.5-mistral-7b; or an adapter's folder.",
            callback=resolve_place,
        ),
    ],
    out: Annotated[Path, typer.Argument(help="A new folder.", callback=resolve_new_folder)],
    base: AdapterBase = None,
    backbone: BackboneName = "llava-med",
    dtype: WrittenDtype = Dtype.AUTO,
) -> None:
    """Write a checkpoint in the plain transformers form (llava-hf for LLaVA-Med), an adapter in PEFT's."""
    from mmedpo.exchange.model_export import convert_adapter, convert_checkpoint, refuse_adapter

    if base is not None:
        convert_adapter(backbone, base, Path(checkpoint), out, dtype)
        print(f"{out}: the converted adapter")
    else:
        refuse_adapter(checkpoint)
        convert_checkpoint(backbone, checkpoint, out, dtype)
        print(f"{out}: the converted model")
